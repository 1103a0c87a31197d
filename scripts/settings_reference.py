"""docs/settings.md, made from the settings' own fields; see scripts/generate-settings-reference."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import PER_MODEL, PER_SERVER, build, key_of
from hotgraph_server.settings.environment import CommandLine, variable_of
from hotgraph_server.settings.fields import Count

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD = """\
# Settings

<!-- made by scripts/generate-settings-reference from the settings' own fields; do not edit -->

Every setting of `hotgraph serve`, and where it can be said. **Flags win over the environment, the
environment wins over the file, and the file over the default.** What a model's own `config.pbtxt` says wins
over what is said for all models, and its table in the file wins over everything.

- **The file** (`--config FILE.toml`) is TOML, with a key for each setting and a table `[models.NAME]` for
  each model, with its `path` and settings of the last part of this page. `hotgraph config check FILE` tells
  all that is wrong with one at once, line by line, and its exit status says whether a server would take it.
- **The environment** has one rule: `HOTGRAPH_` and the key in capitals. Numbers are digits; yes and no are
  `true` or `false` (also `yes`, `on`, `1`, and `no`, `off`, `0`); several numbers are separated by commas;
  a table is `NAME = VALUE, NAME = VALUE`; what may be given more than once is words as in a shell, `/models
  '/more models'`. An empty variable says nothing. A value that cannot be ends the start with one line that
  names the variable; an unknown variable is a warning, with the one that was perhaps meant. What Kubernetes
  sets for a Service called hotgraph (`HOTGRAPH_PORT=tcp://10.0.0.1:8500`) is known by its form and passed
  over.
- **A flag** is the key with dashes; `--no-NAME` turns off what is on. Those without a flag are rare: they
  are set in the file or the environment.

In the column "0 means" a dash stands for a setting that is no number, and "refused" for one that cannot be
0.
"""
_PARTS = (
    ("What the command line has beside", (CommandLine,), "These have no key in the file."),
    ("Of the server", PER_SERVER, ""),
    (
        "Of models",
        PER_MODEL,
        "For all models, or for one alone: in the table `[models.NAME]` of the file, and most of them in a"
        " `config.pbtxt`, as the parameter that is called like the variable (docs/open-inference.md).",
    ),
)
_ROW = "| {} |\n"
_COLUMNS = ("file", "flag", "environment", "default", "0 means", "what it says")


def page() -> str:
    """The whole page."""
    text = _HEAD
    for title, owners, remark in _PARTS:
        text += f"\n## {title}\n" + (f"\n{remark}\n" if remark else "")
        for owner in owners:
            text += _table(owner, title)
    return text


def _table(owner: type, title: str) -> str:
    about = " ".join((owner.__doc__ or "").split("\n\n")[0].split()).partition("; owned by")[0].rstrip(".")
    head = "" if owner is CommandLine else f"\n### {about}\n"
    rows = _ROW.format(" | ".join(_COLUMNS)) + "|" + " --- |" * len(_COLUMNS) + "\n"
    for field in dataclasses.fields(owner):
        rows += _ROW.format(" | ".join(_cells(owner, field)))
    return f"{head}\n{rows}"


def _cells(owner: type, field: dataclasses.Field[Any]) -> tuple[str, ...]:
    key, beside = key_of(field), owner is CommandLine
    return (
        "-" if beside else f"`{key}`",
        _flag(field),
        f"`{variable_of(field)}`",
        _default(field),
        zero_means(owner, field) or "-",
        _escaped(field.metadata["help"]) + _choices(field) + _nested(field),
    )


def _flag(field: dataclasses.Field[Any]) -> str:
    key = key_of(field).replace("_", "-")
    if key == "models":
        return "`[NAME=]DIR ...`"
    if not field.metadata["flag"]:
        return "-"
    return f"`--{key}`, `--no-{key}`" if field.metadata["kind"] is bool and key != "verbose" else f"`--{key}`"


def _default(field: dataclasses.Field[Any]) -> str:
    default = field.default_factory() if callable(field.default_factory) else field.default
    if default in ("", (), {}, None):
        return "none"
    if isinstance(default, bool):
        return "true" if default else "false"
    return "all defaults" if dataclasses.is_dataclass(default) else f"`{default}`"


def zero_means(owner: type, field: dataclasses.Field[Any]) -> str:
    """What 0 means for a setting that is a number: ``refused``, or what its help says of it; empty: it is no
    number, or its help does not say."""
    if field.metadata["kind"] not in (int, float, Count):
        return ""
    try:
        build(owner, {key_of(field): 0})
    except (SettingsError, ValueError):
        return "refused"
    found = re.search(r"(?<![\d.-])0: ([^;]*)", field.metadata["help"])
    return _escaped(found[1]) if found else ""


def _choices(field: dataclasses.Field[Any]) -> str:
    choices = field.metadata["choices"]
    return f" (one of {', '.join(f'`{one}`' for one in choices)})" if choices else ""


def _nested(field: dataclasses.Field[Any]) -> str:
    """The keys of a setting that is a table of settings."""
    kind, of = field.metadata["kind"], field.metadata["of"]
    table = of or (kind if dataclasses.is_dataclass(kind) else None)
    if table is None or of is not None:
        return "" if of is None else " (tables like `queue_policy`)"
    parts = [
        f"`{key_of(one)}`: {_escaped(one.metadata['help'])} (default {_default(one)})"
        for one in dataclasses.fields(table)
    ]
    return ". Its keys: " + "; ".join(parts)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> int:
    """Write the page, or compare; returns the exit status."""
    parser = argparse.ArgumentParser("scripts/generate-settings-reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    arguments = parser.parse_args()
    made = page()
    if not arguments.check:
        PAGE.write_text(made)
    elif not PAGE.is_file() or PAGE.read_text() != made:
        print("docs/settings.md is stale: run scripts/generate-settings-reference", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
