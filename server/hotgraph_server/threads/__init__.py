"""What threads have in common, whatever they do: how they begin, are woken and end.

Periodic and one-shot threads, how their owners wait for them, what many calls postpone to one moment, budgets
for what waits for a thread that writes, the switch interval, and what is left of processors and memory.

Here is what knows of threads and of nothing that they do: nothing of calls, models or the wire, and no import
from another room of the server.
"""
