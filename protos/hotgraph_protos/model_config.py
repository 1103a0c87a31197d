"""The messages of a model's configuration. They lie in the pool of open_inference.py, which imports them, so
that a message is the same class wherever it is taken from. The types are in model_config.pyi."""

from hotgraph_protos import open_inference
from hotgraph_protos.private_pool import declared

(DESCRIPTOR,) = open_inference.DESCRIPTOR.public_dependencies
globals().update(declared(DESCRIPTOR))
