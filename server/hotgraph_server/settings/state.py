"""What becomes of variables that signatures write."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import Former, check, check_choice, setting

SYNC = ("snapshot", "every_write")


@dataclass(frozen=True)
class StateSettings:
    """What becomes of the variables that a model's signatures write; owned by state/.

    In the file those that begin with ``state_`` may also be written with a dot, ``state.dir``.
    """

    state_dir: str = setting(
        "",
        "folder for snapshots of variables that signatures write, with a folder for each model in it;"
        " empty: a restart forgets them",
    )
    state_every_writes: int = setting(
        0,
        "take a snapshot after so many writes, and hold back the answers of more until it is on disk;"
        " 0: writes alone are no reason",
    )
    state_every_s: float = setting(
        60.0, "take a snapshot so many seconds after a write that no snapshot has; 0: time alone is no reason"
    )
    state_sync: str = setting(
        "snapshot",
        "every_write: a write is answered when a snapshot that has it is on disk; snapshot: it"
        " does not wait for one",
        choices=SYNC,
    )
    state_keep: int = setting(3, "snapshots that are kept of a version", flag=False)
    state_batch_writes: bool = setting(
        False, "rows of several calls of a signature that writes may form one step", flag=False
    )
    transfer_state: bool = setting(
        False,
        "a new version takes over the values of variables of the same name, dtype and shape from the one"
        " before it",
        flag=False,
        former=Former("state_carry"),
    )
    rollback_failed_writes: bool = setting(
        True,
        "give variables their values back when a run that writes fails; costs a copy of them for each write",
        flag=False,
        former=Former("state_undo"),
    )

    def __post_init__(self) -> None:
        check_choice("state-sync", self.state_sync, SYNC)
        check(
            0 <= self.state_every_writes <= 1_000_000_000,
            f"state-every-writes must be 0 to 1000000000, got {self.state_every_writes}",
        )
        # Neither "not a number" nor infinity is a time to wait for.
        check(
            0 <= self.state_every_s <= 86_400,
            f"state-every-s must be 0 to 86400 (a day), got {self.state_every_s}",
        )
        check(1 <= self.state_keep <= 1000, f"state-keep must be 1 to 1000, got {self.state_keep}")
        check(
            self.state_sync == "snapshot" or bool(self.state_dir),
            "state-sync every_write needs a state-dir to write to",
        )
        check(
            not self.state_every_writes or bool(self.state_dir),
            "state-every-writes needs a state-dir to write to",
        )
