"""What people see of a running server: metrics, traces, request logs, the admin port, the log.

Here is what reads figures and watches calls. Nothing here decides what becomes of a call, and no protocol is
known.
"""
