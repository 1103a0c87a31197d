"""TensorFlow Serving's REST API: JSON over HTTP/1.1, in a thread of its own, over the same queues as gRPC.

Here is what HTTP and JSON need. Rules that gRPC's methods have too are theirs, and asked of them.
"""
