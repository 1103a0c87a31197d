"""From an assignment to what became of its calls: the processes that send, and what they do.

What it promises:

- Calls are due at moments that are drawn before anything is sent, and every one of them is counted in the
  second in which it was due, whatever becomes of it.
- A call's latency is from the moment at which it was due to the moment at which its answer was read. Waiting
  for a connection, for the server's window or for the socket is part of it.
- A call's lag is how much later than due the sender turned to it, and so the sender's fault alone.
- A call ends once: with an answer, an error by its name, `LATE`, `NO_ANSWER`, `DISCONNECTED` or
  `UNREACHABLE`.
- While calls are sent, nothing else is done in that process: answers are kept and looked at afterwards,
  histograms are made by the parent, garbage is not collected.

From the bottom: schedule.py, statuses.py, http1.py, http2.py, tally.py and merging.py are pure; links.py has
the sockets; pools.py chooses among them; loop.py sends what is due and notes what ends; worker.py is the
child, processes.py the parent.
"""
