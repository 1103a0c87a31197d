"""Sampled calls, written down as TensorFlow Serving's PredictionLog records."""
