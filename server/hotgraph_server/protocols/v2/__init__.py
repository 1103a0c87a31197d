"""The Open Inference Protocol (KServe v2), as Triton's and KServe's clients speak it.

Here are its methods, one module for each or for what several of them share; service.py puts them together.
Nothing here knows the other protocol.
"""
