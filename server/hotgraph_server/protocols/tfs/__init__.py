"""TensorFlow Serving's protocol, as its clients speak it.

Nothing here knows of the other protocol (v2/).
"""
