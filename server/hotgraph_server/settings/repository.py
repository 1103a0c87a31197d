"""When folders are looked at, and how versions come and go."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, setting


@dataclass(frozen=True)
class RepositorySettings:
    """When folders are looked at, and how versions come and go; owned by repository/."""

    poll_s: float = setting(
        0.0, "seconds between looks at the models' folders for versions that came or went; 0: at start only"
    )
    load_threads: int = setting(
        0,
        "versions that may be loaded at the same time; 0: as many as there are processors, and two at least",
        flag=False,
    )
    max_load_retries: int = setting(
        5, "how often the loading of a version that failed is tried again; 0: never", flag=False
    )
    load_retry_s: float = setting(
        60.0,
        "longest pause before such a try, seconds; the first is a sixteenth of it, and each doubles the last;"
        " 0: there is none",
        flag=False,
    )
    unload_grace_s: float = setting(
        5.0,
        "seconds that a version which has been replaced still takes the calls that had already found it;"
        " 0: it takes none",
        flag=False,
    )
    wait_for_models: bool = setting(
        False,
        "at start, try loads that failed again, and wait for versions that are not there yet;"
        " off: the first failure ends the start",
        flag=False,
    )
    exit_on_error: bool = setting(
        True,
        "a model that cannot be loaded at start ends the start; off: it is left out, and the log says why",
    )
    labels_ahead: bool = setting(
        False,
        "a new label of a model that is served may name a version that is not live yet",
        flag=False,
    )

    def __post_init__(self) -> None:
        check(0 <= self.poll_s <= 86_400, f"poll-s must be 0 to 86400 (a day), got {self.poll_s}")
        check(0 <= self.load_threads <= 1000, f"load-threads must be 0 to 1000, got {self.load_threads}")
        check(self.max_load_retries >= 0, f"max-load-retries must be 0 or more, got {self.max_load_retries}")
        check(
            0 <= self.load_retry_s <= 86_400,
            f"load-retry-s must be 0 to 86400 (a day), got {self.load_retry_s}",
        )
        check(
            0 <= self.unload_grace_s <= 3600,
            f"unload-grace-s must be 0 to 3600, got {self.unload_grace_s}",
        )
