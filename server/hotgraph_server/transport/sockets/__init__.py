"""Sockets and time: who is served when, whatever is spoken on a connection. server.py is the way in.

server.py              the serving thread's turns, and the life of all of it
acceptor.py            the sockets that connections come in through
door.py                what each of them is
handshakes.py          TLS's handshakes, in a thread of their own
open_connections.py    the connections that are open
socket_io.py           one connection's socket: read, write, TLS
connection_age.py      when a connection has been there for long enough  pure
speaking.py            what connections speak, and the calls on them
spoken.py              a connection's protocol, as its socket sees it
round_robin.py         who is served next                                pure
receive_coalescing.py  when arrivals may lie for a moment                pure
self_pipe.py           how the serving thread is woken
times.py               how long it waits for what

Nothing here knows a model, or what calls are about.
"""
