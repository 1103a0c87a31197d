"""TensorFlow Serving's flags: their names, forms and defaults, and what they mean here. Pure.

The forms are those of TensorFlow's own parser: ``--flag=value``, and for booleans also a bare ``--flag``;
a value in the next word, ``--no-flag`` and abbreviations are not among them. Unlike there, a word that is no
flag is an error and not passed over: a mistyped limit would otherwise be found when it is needed.
"""

from __future__ import annotations

import difflib
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from hotgraph_server.commands.tensorflow_model_server.flag_table import FLAGS, GROUPS, OURS, Flag, Value
from hotgraph_server.errors import SettingsError

COMMAND = "hotgraph tensorflow-model-server"

USAGE = f"usage: {COMMAND} --model_base_path=/DIR [--model_name=NAME] [--port=8500] [--FLAG=VALUE ...]\n"

_DESCRIPTION = """\
Serve SavedModels with TensorFlow Serving's command line: its flags, its model and config files, its gRPC
and REST API. Replace "tensorflow_model_server" by "hotgraph tensorflow-model-server"; clients need no
change. The Open Inference Protocol (Triton, KServe) is answered on the same port.

Flags are --flag=value; a boolean may also stand alone: --enable_batching is --enable_batching=true.

Where the environment has MODEL_BASE_PATH, the variables of TensorFlow Serving's container image count, and
flags win over them: --port=8500 --rest_api_port=8501 --model_name=$MODEL_NAME
--model_base_path=$MODEL_BASE_PATH/$MODEL_NAME. MODEL_NAME is "model" where it is not set.
"""
_EXAMPLES = """\
examples:
  hotgraph tensorflow-model-server --model_name=flowers --model_base_path=/models/flowers
  hotgraph tensorflow-model-server --model_config_file=/models/models.config --rest_api_port=8501
  hotgraph tensorflow-model-server --model_base_path=/models/a --host=127.0.0.1 --port=0

Like TensorFlow Serving it listens on all networks of the machine; --host narrows that. The line
"serving on HOST:PORT" on stderr means that calls are answered. SIGTERM or Ctrl-C: no new calls, those
taken are answered, exit status 0.
"""

_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    tuple: "a text",
}
_INT32, _INT64 = 2**31, 2**63
_WIDTH = 100


class UsageError(SettingsError):
    """A command line that cannot be read."""


@dataclass(frozen=True)
class Given:
    """A command line, read.

    Attributes:
        values: of all flags, by name; the default where a flag was not given.
        named: the flags that were given.
        help: show the help, and nothing else.
    """

    values: Mapping[str, Value]
    named: frozenset[str]
    help: bool = False

    def text(self, name: str) -> str:
        """A text flag's value."""
        return str(self.values[name])

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of a text flag that may be given more than once."""
        return cast("tuple[str, ...]", self.values[name])

    def number(self, name: str) -> int:
        """An integer flag's value."""
        return int(cast(int, self.values[name]))

    def share(self, name: str) -> float:
        """A number flag's value."""
        return float(cast(float, self.values[name]))

    def is_on(self, name: str) -> bool:
        """A boolean flag's value."""
        return self.values[name] is True


def parse(words: Sequence[str]) -> Given:
    """Read a command line, without the command. Of a flag that is given twice the last one counts, unless it
    is one of many texts.

    Raises:
        UsageError: a word is no flag, or its value is not of its kind.
    """
    values: dict[str, Value] = {flag.name: flag.default for flag in FLAGS.values()}
    named: set[str] = set()
    for word in words:
        if word in ("--help", "-h"):
            return Given(values, frozenset(named), help=True)
        name, equals, text = word.removeprefix("--").partition("=")
        if name.replace("-", "_") in OURS:
            name = name.replace("-", "_")
        if not word.startswith("--") or name not in FLAGS:
            raise UsageError(_no_flag(word, name))
        flag = FLAGS[name]
        if not equals and flag.kind is not bool:
            raise UsageError(f"--{name} takes {_KINDS[flag.kind]} after a '=': --{name}={_example(flag)}")
        if flag.kind is tuple:
            values[name] = (*cast("tuple[str, ...]", values[name]), text)
        else:
            values[name] = _value(flag, text) if equals else True
        named.add(name)
    return Given(values, frozenset(named))


def help_text() -> str:
    """All flags by what they are about, those without a meaning here last."""
    parts = [USAGE, _DESCRIPTION]
    for group, title in GROUPS.items():
        lines = [f"{title}:"]
        for flag in FLAGS.values():
            if flag.group == group:
                lines += _help_of(flag)
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, _EXAMPLES])


def _help_of(flag: Flag) -> list[str]:
    shown = "" if flag.default == () else str(flag.default)
    if flag.kind is bool:
        shown = shown.lower()
    head = f"  --{flag.name}={shown}"
    text = textwrap.wrap(flag.help, _WIDTH - 8, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return [head, *text]


def _value(flag: Flag, text: str) -> Value:
    if flag.kind is bool:
        if text not in ("true", "false"):
            raise UsageError(f"--{flag.name} takes {_KINDS[bool]}, got {text!r}")
        return text == "true"
    try:
        value: Value = flag.kind(text)
    except ValueError:
        raise UsageError(f"--{flag.name} takes {_KINDS[flag.kind]}, got {text!r}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"--{flag.name} takes {_KINDS[float]}, got {text!r}")
    edge = _INT64 if flag.wide else _INT32
    if isinstance(value, int) and not -edge <= value < edge:
        raise UsageError(f"--{flag.name} takes an integer of {64 if flag.wide else 32} bits, got {text}")
    return value


def _no_flag(word: str, name: str) -> str:
    if not word.startswith("-"):
        return f"{word!r} is no flag; values stand behind a '=', and models are --model_base_path=/DIR"
    stem = name.lstrip("-").replace("-", "_")
    if stem.startswith("no") and stem[2:].lstrip("_") in FLAGS:
        return f"unknown flag {word}; did you mean --{stem[2:].lstrip('_')}=false?"
    near = [stem] if stem in FLAGS else difflib.get_close_matches(stem, FLAGS, 1)
    suggestion = f"; did you mean --{near[0]}?" if near else ""
    return f"unknown flag {word.partition('=')[0]}{suggestion} (--help shows all)"


def _example(flag: Flag) -> str:
    return "VALUE" if flag.default in ("", ()) else str(flag.default)
