"""TensorFlow Serving's protocol, as its clients speak it.

Nothing here knows of the other protocol (v2/).
"""

from hotgraph_server.protocols.tfs.logged_records import logged_in
from hotgraph_server.protocols.tfs.prediction import service as prediction_service
from hotgraph_server.protocols.tfs.status import not_available
from hotgraph_server.protocols.tfs.status import service as model_service
from hotgraph_server.protocols.tfs.warmup_records import records_in

__all__ = ["logged_in", "model_service", "not_available", "prediction_service", "records_in"]
