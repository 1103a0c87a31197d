"""The admin port: metrics, health over HTTP, and a page to look at.

Nothing here takes part in a call.
"""
