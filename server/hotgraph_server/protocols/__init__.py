"""One folder per protocol: how its messages become calls, and answers its messages; and what they share.

Here is what reads and writes messages. Nothing here knows a connection, loads a model or runs a graph.
"""
