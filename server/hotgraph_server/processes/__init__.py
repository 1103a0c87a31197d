"""Several servers behind the same ports, each a process: who supervises them, and what each knows of it.

Nothing here loads a model or answers a call, and nothing of the supervisor's imports TensorFlow.
"""
