"""All that is wrong with the values of settings, where making them tells of the first thing alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings.fields import build, fields_of, key_of


def faults_of(owner: type, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A key and what is wrong with it, for each fault of those of `values` that are the owner's.

    A fault's text names the settings that it is about. They are left out, and the rest is tried again: a
    fault that is in what remains is another one.
    """
    keys = [key_of(field) for field in fields_of(owner)]
    left = {key: values[key] for key in keys if key in values}
    while True:
        try:
            build(owner, left)
        except (SettingsError, TypeError, ValueError) as error:
            text = str(error)
            named = [key for key in keys_in(text, keys) if key in left]
            if not named:
                # About what is not there, which nothing that could be left out would mend.
                yield next(iter(left), ""), text
                return
            yield named[0], text
            for key in named:
                del left[key]
        else:
            return


def keys_in(text: str, keys: list[str]) -> list[str]:
    """Those of the keys of settings that a fault's text names, as flags too, in its order."""
    places = {
        key: re.search(rf"(?<![\w-])(?:--)?{re.escape(key).replace('_', '[-_]')}(?![\w-])", text)
        for key in keys
    }
    found = {key: place.start() for key, place in places.items() if place is not None}
    return sorted(found, key=found.__getitem__)
