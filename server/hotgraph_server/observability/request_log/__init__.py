"""Sampled calls, written down as TensorFlow Serving's PredictionLog records.

Nothing here reads what a call says but the model's name: bytes are put together with bytes.
"""
