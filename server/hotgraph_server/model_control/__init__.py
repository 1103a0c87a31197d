"""Triton's model control: which models the repositories offer, and which of them are asked for.

Here names, files and folders that come in requests are checked, and become settings. Nothing here loads a
version: what becomes of one is decided in repository/.
"""
