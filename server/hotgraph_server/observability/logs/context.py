"""Which trace what a thread does now belongs to, for the lines that it logs."""

from __future__ import annotations

import contextvars

TRACE_ID: contextvars.ContextVar[str] = contextvars.ContextVar("trace_id", default="")
"""As hex; empty: none, or it is not known."""
