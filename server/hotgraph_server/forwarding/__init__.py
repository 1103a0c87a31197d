"""Calls for a model that this server has not, sent on once to a server that has it.

What is sent on, to whom, and what a caller may rely on: forwarder.py. Nothing here knows what a protocol's
messages hold but for where they name their model (messages.py), or what is loaded.
"""
