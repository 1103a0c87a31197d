"""The services on grpc's own server: what runs where ours (http2/) is switched off.

Here is all that touches grpc's server API.
"""
