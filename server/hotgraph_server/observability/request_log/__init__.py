"""Sampled calls, written down as TensorFlow Serving's PredictionLog records.

Here calls are drawn and their messages' bytes written. Nothing here reads a tensor.
"""
