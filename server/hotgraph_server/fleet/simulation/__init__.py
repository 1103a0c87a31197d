"""A day of a fleet in seconds: the planner, the reconciler and the scaling of the driver, on a virtual clock.

What is simulated is what they act on: nodes, replicas, loads, calls by their number. Nothing here decides
anything that the driver decides, and nothing here waits.
"""
