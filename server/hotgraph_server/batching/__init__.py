"""Calls that wait, and the batches they travel in.

Here are the queue, what it decides by (costs, deadlines, priorities) and how calls become one batch. Nothing
here knows who sent a call, or how a batch is run.
"""
