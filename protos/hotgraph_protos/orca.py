"""The messages of ORCA's load reports and of the service that streams them, in a descriptor pool of their own
(private_pool.py): xds-protos, which has them too, is 19 MB under the name ``envoy``. The types are in
orca.pyi; all of it comes from scripts/generate-protos."""

from hotgraph_protos.private_pool import load

DESCRIPTOR, _MESSAGES = load("orca")
globals().update(_MESSAGES)
