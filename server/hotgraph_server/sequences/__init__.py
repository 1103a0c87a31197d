"""Sequences: calls that belong together and go one after the other; batcher.py says what is promised."""
