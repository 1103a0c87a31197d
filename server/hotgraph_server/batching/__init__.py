"""Calls that wait, and the batches they travel in."""
