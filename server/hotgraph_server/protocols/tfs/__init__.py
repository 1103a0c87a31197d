"""TensorFlow Serving's protocol, as its clients speak it."""

from hotgraph_server.protocols.tfs.prediction import service as prediction_service
from hotgraph_server.protocols.tfs.status import service as model_service

__all__ = ["model_service", "prediction_service"]
