"""Who may call what: groups of methods, and the keys that open them.

Here it is decided by names of methods and headers. Nothing here knows what a method does, or what carries it.
"""
