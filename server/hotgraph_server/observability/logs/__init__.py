"""How lines of the log look, and those that are written of calls.

Nothing here decides what becomes of a call. What callers say is escaped and cut
wherever it comes into a line.
"""
