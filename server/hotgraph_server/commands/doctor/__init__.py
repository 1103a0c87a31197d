"""``hotgraph doctor``: an existing deployment of another server, and what becomes of it here.

What is found is what the server itself would say: the same readers, the same loader. Nothing here serves.
"""
