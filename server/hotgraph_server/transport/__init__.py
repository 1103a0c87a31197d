"""How bytes come in and go out: the gRPC server, health, reflection, TLS."""
