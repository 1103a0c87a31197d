"""The executor: the one thread that owns a version's session, and what it does with batches.

Here are runs, what follows when one fails, calls larger than a batch, runs that write, the checks in service,
and the thread that ends calls. Nothing here knows how a graph is loaded (graph/) or who sent a call.
"""
