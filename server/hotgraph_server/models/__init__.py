"""A version of a model that is served: its life, and the one way by which calls come in.

Here are the table of what is live, what a version promises its clients, admission, and answers that are kept.
Nothing here reads folders (repository/) or knows a protocol's messages (protocols/).
"""
