"""Models that are loaded when they are called, within the memory that there is for them.

Nothing here loads a version or knows a protocol's messages: the repository does what is decided here, and a
call that waits is a method, a message and a reply.
"""
