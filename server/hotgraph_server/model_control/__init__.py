"""Triton's model control: which models the repositories offer, and which of them are asked for.

Here names, files and folders that come in requests are checked, and become settings. What becomes of a
version is decided in repository/.
"""
