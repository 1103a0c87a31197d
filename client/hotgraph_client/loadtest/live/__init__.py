"""--live: a page of this machine's on which a load is watched and changed while it is on.

What it promises:

- It listens on 127.0.0.1 alone, and answers nobody who does not know the token in its address, which is
  drawn anew each time. A page of another site can neither guess it nor send what changes something: `host`
  and `origin` must be this address, and changes are JSON, which a browser sends elsewhere once allowed.
- A change is asked of the senders at once; it is their next call that follows it.
- Requests are answered by threads of its own, at most `MAX_REQUESTS` at once, each for a bounded time:
  whoever looks slows no call.

feed.py has what is known, and is asked from several threads; control.py what may be changed; server.py the
sockets; the page itself lies in assets/.
"""
