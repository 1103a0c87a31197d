"""The messages of grpc.health.v1, List among them, in a descriptor pool of their own (private_pool.py). The
types are in health.pyi; all of it comes from scripts/generate-protos."""

from hotgraph_protos.private_pool import load

DESCRIPTOR, _MESSAGES = load("health")
globals().update(_MESSAGES)
