"""How bytes come in and go out: the gRPC server, health, reflection, TLS.

Here methods are names and messages are bytes. Nothing here knows which protocols or models there are.
"""
