"""Traces of single calls: when each step of a call was, and what went in and came out, in Triton's form.

Nothing here decides what becomes of a call, or lets one wait for a file.
"""
