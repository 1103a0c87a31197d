"""Sequences: calls that belong together and go one after the other; batcher.py says what is promised.

Of a version its signature is known, and something that takes calls. Nothing here knows a protocol, or who
runs calls.
"""
