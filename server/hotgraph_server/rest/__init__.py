"""TensorFlow Serving's REST API: JSON over HTTP/1.1, in a thread of its own, over the same queues as gRPC.

A protocol that brings its transport. Nothing here knows the queue, and what is said of models is asked from
the services that gRPC's callers ask.
"""
