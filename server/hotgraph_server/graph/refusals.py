"""What TensorFlow's errors become: RunFailed, in the words of the one that matters."""

from __future__ import annotations

import re
from typing import Any

from hotgraph_server.errors import RunFailed

_INVALID_ARGUMENT = 3

# Session.run puts this before what went wrong; a callable does not.
_HEADING = re.compile(r"Graph execution error:\s+(?:Detected at node .*?\nNode: [^\n]*\n)*", re.DOTALL)

# A graph on a GPU has at least two parts, the device's and the host's, and one error ends both. TensorFlow
# tells of both: "2 root error(s) found.\n  (0) CODE: words\n  (1) CODE: words\n0 successful operations."
_SEVERAL = re.compile(r"\d+ root error\(s\) found\.\n  \(0\) [A-Za-z_]+: ")
_NEXT = re.compile(r"\n  \(1\) |\n\d+ successful operations\.")

# What follows the name in TensorFlow's words is about the version of TensorFlow and the session's insides.
_NO_VALUE = re.compile(r"Could not find variable (\S+)\. This could mean.*", re.DOTALL)

# What Python says then is a traceback with paths of this machine.
_NO_CALLBACK = "Could not find callback with key="
_LOST = "the run came to a Python function (tf.py_function) of the program that saved it, which is not here"

_CURE = (
    "is a variable without a value: neither the SavedModel's ops nor its checkpoint gives it one; if it is a"
    " Keras model, write it with model.export(DIR)"
)


def run_failed(error: Any) -> RunFailed:
    """For an OpError of TensorFlow's."""
    return RunFailed(error.error_code, essence(error.message))


def run_failed_unreadably(error: UnicodeDecodeError) -> RunFailed:
    """For what TensorFlow's Python side raises in place of an OpError whose words are no UTF-8.

    Its code is lost on the way. As a rule such an error quotes a caller's bytes (a string that is no
    tf.Example), and so it is the caller's.
    """
    return RunFailed(_INVALID_ARGUMENT, essence(error.object.decode("utf-8", "backslashreplace")))


def essence(text: str) -> str:
    """What TensorFlow says without what it says first: of several errors, the words of one."""
    text = _HEADING.sub("", text, count=1) if text.startswith("Graph execution error:") else text
    several = _SEVERAL.match(text)
    text = _NEXT.split(text[several.end() :], maxsplit=1)[0] if several else text
    if _NO_CALLBACK in text:
        return _LOST
    without_value = _NO_VALUE.match(text)
    return f"{without_value[1]} {_CURE}" if without_value else text
