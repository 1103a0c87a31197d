"""Proves, from a graph alone, that rows of a batch do not influence each other: see verdict.py.

Here graphs are read, op by op, by the rules in the rules_*.py. Nothing here runs a graph, imports TensorFlow,
or knows of calls, batches, files or clocks.
"""
