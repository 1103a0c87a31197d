"""What the log looks like, and what is in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from hotgraph_server.settings.fields import check, check_choice, setting

TEXT, JSON = "text", "json"
FORMATS = (TEXT, JSON)

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


@dataclass(frozen=True)
class LoggingSettings:
    """The log on stderr; owned by observability/logs."""

    log_format: str = setting(TEXT, "a line of text for each entry, or a JSON object", choices=FORMATS)
    log_level: str = setting(
        "",
        "what is logged: debug, info, warning, error or critical, and LOGGER=LEVEL for single parts of the "
        "server or other packages, as in batching=debug,info (default info, and warning for others)",
        metavar="[LOGGER=]LEVEL,...",
    )
    log_failed_calls: int = setting(
        10,
        "so many failed calls a second have a line of their own, others are counted in one; 0: none",
        metavar="LINES",
    )
    access_log: bool = setting(False, "a line for each call that runs a model")

    def __post_init__(self) -> None:
        check_choice("log-format", self.log_format, FORMATS)
        check(
            0 <= self.log_failed_calls <= 10_000,
            f"log-failed-calls must be 0 to 10000, got {self.log_failed_calls}",
        )
        _ = self.levels

    @property
    def levels(self) -> Mapping[str, int]:
        """By loggers, as they are named in the setting; an empty name: of all that has none of its own.

        Raises:
            SettingsError: a level that there is not.
        """
        found: dict[str, int] = {}
        for part in filter(None, (one.strip() for one in self.log_level.split(","))):
            name, separator, level = part.rpartition("=")
            check(
                level.lower() in _LEVELS and bool(name) == bool(separator),
                f"log-level must be [LOGGER=]LEVEL with a level of {', '.join(_LEVELS)}, got {part!r}",
            )
            found[name] = _LEVELS[level.lower()]
        return found
