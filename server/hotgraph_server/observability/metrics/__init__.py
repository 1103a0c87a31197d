"""The figures in Prometheus' form: our own names, TensorFlow Serving's, Triton's, and those of GPUs.

Here is what makes text from figures that others keep (statistics.py). Nothing here counts.
"""
