"""Triton's model configuration: read, translated into settings of ours, completed from the SavedModel."""
