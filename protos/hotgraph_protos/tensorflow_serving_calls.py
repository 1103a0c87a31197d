"""The messages of TensorFlow Serving's calls and of its logs, in a descriptor pool of their own
(private_pool.py), for those who call it without TensorFlow. The types are in tensorflow_serving_calls.pyi;
all of it comes from scripts/generate-protos."""

from hotgraph_protos.private_pool import load

DESCRIPTOR, _MESSAGES = load("tensorflow_serving_calls")
globals().update(_MESSAGES)
