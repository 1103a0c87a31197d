"""ORCA (Open Request Cost Aggregation): load reports, as Envoy, gRPC's clients and Triton's callers ask for
them.

Nothing here knows of the other protocols, or how a load is measured (observability/load/).
"""
