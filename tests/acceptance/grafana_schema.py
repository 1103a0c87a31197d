"""Run by itself, with Grafana's own classes on the path: what of a dashboard do they not know?

`python grafana_schema.py DASHBOARD` reads it into these classes, writes it again, and prints what is missing
then, or is another, a line each: the place, and what stood there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """What of `before` is not in `after`. What is empty may go."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from differences(value, after[key], f"{place}.{key}")
            elif value not in (None, "", [], {}):
                yield f"{place}.{key}: {value}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from differences(one, other, f"{place}[]")
    elif before != after:
        yield f"{place}: {before} became {after}"


def main() -> None:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    written = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(written)))
    print("\n".join(sorted(set(differences(written, again)))))


if __name__ == "__main__":
    main()
