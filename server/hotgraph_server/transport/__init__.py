"""How bytes come in and go out: gRPC and HTTP/1.1, health, reflection, TLS, and what a protocol sees of it
all (service.py, http.py). One server carries both, on sockets of its own (sockets/, http2/, http1/); in its
place grpc's own can carry gRPC (grpcio/), and to a protocol they are alike.

Nothing here may know which protocols and models there are: no array, signature, queue or graph.
"""
