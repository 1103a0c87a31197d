"""The Open Inference Protocol (KServe v2), as Triton's and KServe's clients speak it.

Nothing here knows of the other protocol (tfs/).
"""
