"""Spans of calls and the metrics, sent to an OpenTelemetry collector by OTLP over HTTP.

Nothing here decides what becomes of a call, or lets one wait for a collector: what cannot be sent is dropped
and counted. OpenTelemetry's packages are an extra; opening.py alone may be imported without them.
"""
