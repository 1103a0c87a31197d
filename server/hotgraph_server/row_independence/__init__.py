"""Proves, from a graph alone, that rows of a batch do not influence each other: see verdict.py.

Nothing here runs a graph or imports TensorFlow: its definition is enough.
"""
