"""`hotgraph fleet`: servers on several machines, which models each has, and where callers find them.

Nothing here is in the way of a call, imports TensorFlow, or loads a model: the servers do that, and are
asked.
"""
