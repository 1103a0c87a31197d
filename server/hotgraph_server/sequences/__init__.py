"""Sequences: calls that belong together and go one after the other; sequences.py says what is promised."""
