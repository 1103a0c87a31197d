"""How bytes come in and go out: the gRPC server, health, reflection, TLS, and what a protocol sees of it all
(service.py). Two servers can carry calls, the one of http2/ and grpc's own (grpcio/); to a protocol they are
alike.

Nothing here may know which protocols and models there are: no array, signature, queue or graph.
"""
