"""One folder per protocol: how its messages become calls, and answers its messages.

Here is what both share as well: handing a call in, and the fast path for messages like the last. Nothing here
knows a socket, or the queue that a call waits in.
"""
