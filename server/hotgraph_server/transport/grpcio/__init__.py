"""The services on grpc's own server: what runs where ours (http2/) is switched off.

Nothing else touches grpc's server API, and nothing here knows of http2/.
"""
