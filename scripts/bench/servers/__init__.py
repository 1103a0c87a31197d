"""The rivals' servers, each run by a Python of its own; also the C++ echo and the bare loop.

They must not import hotgraph, whose messages (hotgraph_protos) the two grpc rivals alone borrow.
"""
