"""Which outcomes of a call are right, whatever its message was. Pure."""

from __future__ import annotations

import re

from fuzzing.models import FAILING

# What a bug of the server's is told as (errors.InternalError); the details are in its log.
_BUG = "internal error; the server's log has the details"
# INTERNAL is TensorFlow's to say; it is what Triton's clients expect of shared memory and of loading, and
# what gRPC says of content that is no message.
_MAY_BE_INTERNAL = re.compile(
    r"(\[request id: [^\n]*\] )?"
    r"(Unable to (open|read|write to) shared memory region|shared memory size specified with the request"
    r"|failed to load |the call ended in the middle of a message|a message('s flag is| does not decompress"
    r"| says that it is compressed| ends in the middle| of \d+ bytes inflates)"
    r"|something follows a message's compressed bytes)",
    re.DOTALL,
)
# Nobody cancels a call here; but where one call of a sequence is too late, all behind it are cancelled.
_SEQUENCE_IS_OVER = re.compile(r"sequence .* has ended", re.DOTALL)
# The connection has broken, which is worse than any answer.
_BROKEN = re.compile(
    r"failed to connect|socket closed|connection (reset|refused|closed)|goaway|end of file|broken pipe"
    r"|stream removed|rst_stream|http2|protocol error|recvmsg|failed parsing",
    re.IGNORECASE,
)
_NEVER = {"UNKNOWN", "ABORTED", "DATA_LOSS"}
# As TensorFlow Serving answers HandleReloadConfigRequest.
_NOT_AVAILABLE = re.compile(r"[0-9]+ servable\(s\) did not become available")


def fault(code: str, text: str, model: str, waited_s: float, limit_s: float) -> str | None:
    """What is wrong with an outcome; None: nothing.

    Args:
        code: of gRPC; OK if the call was answered.
        text: its details.
        model: that the call was for, as far as that can be told.
        waited_s: until it came, seconds.
        limit_s: that the caller gave it; the server answers all before that.
    """
    if code == "UNKNOWN" and _NOT_AVAILABLE.match(text):
        return None
    if code in _NEVER or (code == "CANCELLED" and not _SEQUENCE_IS_OVER.search(text)):
        return f"{code}: {text}"
    if code == "DEADLINE_EXCEEDED" and waited_s >= limit_s * 0.95:
        return f"no status within {limit_s:g} s"
    if code == "UNAVAILABLE" and _BROKEN.search(text):
        return f"the connection broke: {text}"
    if code == "INTERNAL":
        if text.endswith(_BUG):
            return text
        if model not in FAILING and not _MAY_BE_INTERNAL.match(text):
            return f"INTERNAL: {text}"
    return None


def fault_of_stream_error(text: str) -> str | None:
    """What is wrong with an `error_message` of a stream, which says no code; None: nothing.

    INTERNAL cannot be told apart from others here but for the server's own bugs.
    """
    return text if text.endswith(_BUG) else None


def fault_of_rest(status: int, error: str | None) -> str | None:
    """What is wrong with a response of REST; None: nothing.

    Args:
        status: of HTTP.
        error: what its body tells as the error; None: it tells none in the form that we have for it.
    """
    if status >= 400 and error is None:
        return f"HTTP {status} without an error that says why"
    return error if error is not None and error.endswith(_BUG) else None


# What a server never says in its log unless something of its own went wrong.
_ALARMS = ("Traceback (most recent call last)", "unexpected error", "Exception ignored", "Fatal Python error")


def alarms(log: str) -> list[str]:
    """What a server's log tells of its own faults: of each the line, and where and what it was."""
    lines = log.splitlines()
    found = []
    for at, line in enumerate(lines):
        if any(alarm in line for alarm in _ALARMS):
            # A traceback goes on as long as lines are indented, and ends with what was raised.
            end = at + 1
            while end < len(lines) and lines[end].startswith(" "):
                end += 1
            told = [line, *lines[max(at + 1, end - 2) : end + 1]]
            found.append(" | ".join(one.strip() for one in told))
    return found
