"""What is answered over HTTP: TensorFlow Serving's REST API (tfs/), the Open Inference Protocol (v2/), and
what they make of the live models for tools and for people (openapi/).

Nothing here knows a socket or the queue: requests come from the transport (transport/http.py), and what is
said of models is asked from the services that gRPC's callers ask.
"""
