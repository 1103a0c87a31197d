"""The runs before a version is live: warm-up calls, plans, and whether calls may share a batch.

Here is what tries a graph through a `run` that it is given, and decides by what came back. Nothing here owns
a thread or a session, imports TensorFlow, or knows of calls that clients have sent.
"""
