"""The fast lane: gRPC over an HTTP/2 of our own. server.py is the way in; it lists who does what."""
