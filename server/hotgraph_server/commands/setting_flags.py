"""Flags made from the fields of settings; see the package settings."""

from __future__ import annotations

import argparse
import functools
from typing import Any

from hotgraph_server.settings import fields_of, key_of
from hotgraph_server.settings.fields import present_value


def add_flags(parser: argparse.ArgumentParser, *owners: type) -> None:
    """Give `parser` a flag for each setting of these owners that has one; what is not given stays out of the
    namespace, and what is given under a former name is in it under that (`in_present_words`)."""
    for setting in fields_of(*owners):
        if not setting.metadata["flag"]:
            continue
        shown = setting.default not in ("", (), None) and not isinstance(setting.default, bool)
        default = f" (default {setting.default})" if shown else ""
        flag, kind = "--" + key_of(setting).replace("_", "-"), setting.metadata["kind"]
        # A boolean has no value but two flags: --NAME and --no-NAME.
        takes: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        if kind is list:
            takes = {"action": "append", "metavar": setting.metadata["metavar"]}
        elif kind is not bool:
            choices = setting.metadata["choices"] or None
            metavar = setting.metadata["metavar"] or setting.name.rpartition("_")[2].upper()
            takes = {"type": kind, "metavar": "|".join(choices or [metavar]), "choices": choices}
        parser.add_argument(flag, default=argparse.SUPPRESS, help=setting.metadata["help"] + default, **takes)
        former = setting.metadata["former"]
        if former is not None:
            # Read for scripts that have it; the help does not show it.
            if former.values:
                takes["type"] = functools.partial(present_value, former=former)
            parser.add_argument(
                "--" + former.name.replace("_", "-"),
                default=argparse.SUPPRESS,
                help=argparse.SUPPRESS,
                **takes,
            )
