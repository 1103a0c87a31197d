"""Traces of single calls: when each step of a call was, and what went in and came out, in Triton's form.

Here calls are drawn, watched and written. No method of a protocol is here.
"""
