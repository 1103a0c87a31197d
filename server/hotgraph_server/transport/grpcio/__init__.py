"""The services on grpc's own server: what runs where ours (http2/) is switched off.

All that touches grpc's server API is here, by its public parts; nothing of http2/ may be.
"""
