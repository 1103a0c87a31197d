"""A SavedModel as one graph in one session, and what can be proven and changed of it before it runs.

The only room that imports TensorFlow when it is imported. Nothing here knows of calls, or owns a thread.
"""

from hotgraph_server.graph.graph import Graph

__all__ = ["Graph"]
