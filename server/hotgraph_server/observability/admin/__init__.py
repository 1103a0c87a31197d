"""The admin port: metrics, health over HTTP, and a page to look at.

Here are its pages and as much of HTTP as they need. Figures are made elsewhere (metrics/); nothing here is
asked by clients of models.
"""
