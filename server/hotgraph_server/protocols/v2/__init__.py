"""The Open Inference Protocol (KServe v2), as Triton's and KServe's clients speak it.

Nothing here knows of the other protocol (tfs/).
"""

from hotgraph_server.protocols.v2.service import service

__all__ = ["service"]
