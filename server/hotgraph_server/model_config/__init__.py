"""Triton's model configuration: read, translated into settings of ours, completed from the SavedModel.

Here is what knows inference.ModelConfig. Nothing here loads a model or decides which ones are served.
"""
