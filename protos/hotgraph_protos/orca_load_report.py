"""The message of a load report. It lies in the pool of orca.py, which imports it, so that it is the same
class wherever it is taken from. The types are in orca_load_report.pyi."""

from hotgraph_protos import orca
from hotgraph_protos.private_pool import declared

(DESCRIPTOR,) = orca.DESCRIPTOR.public_dependencies
globals().update(declared(DESCRIPTOR))
