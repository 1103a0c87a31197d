"""A SavedModel as one graph in one session: read, proven, frozen, compiled, and run.

Here is everything that knows TensorFlow; no other room imports it at module level, and so nothing that does
not need a graph may import from here. Nothing here knows of calls, queues, models or protocols.
"""
