"""The fast lane: gRPC over an HTTP/2 of our own; server.py is the way in, and lists who does what.

What decides by the protocol is pure. Nothing but the server, its acceptor and its sockets waits or has a
clock.
"""
