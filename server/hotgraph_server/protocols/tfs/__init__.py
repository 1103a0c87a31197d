"""TensorFlow Serving's protocol, as its clients speak it.

Here are its services, one module for each method or what several of them share, and what a SavedModel brings
in its messages. Nothing here knows the other protocol.
"""
