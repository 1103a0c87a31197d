"""Triton's model configuration: read, translated into settings of ours, completed from the SavedModel.

Nothing here loads a model or serves one: what is understood goes into settings/ and models/contract.py.
"""
