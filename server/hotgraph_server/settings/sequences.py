"""What sequences may hold."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, check_choice, setting

SHARE = ("auto", "always", "never")


@dataclass(frozen=True)
class SequenceSettings:
    """What the sequences of a model may hold, and share; owned by sequences/.

    They mean nothing for a model whose configuration knows no sequences.
    """

    max_sequences: int = setting(
        10_000,
        "sequences of a model that may live, those that wait for a slot included; further ones are refused",
        flag=False,
    )
    max_sequence_state_mb: int = setting(
        1024,
        "MiB of state that a model's sequences may hold between their calls; a sequence that would pass it"
        " is refused, and one that grows past it ends",
        flag=False,
    )
    share_slot_runs: str = setting(
        "auto",
        "may sequences with slots of their own share a run? auto: where the signature writes no variables,"
        " so that a run that fails can be tried again for each; always: there too, and a run that fails"
        " then ends all that were in it; never: each call is a run",
        choices=SHARE,
        flag=False,
    )

    def __post_init__(self) -> None:
        check(
            1 <= self.max_sequences <= 10_000_000,
            f"max-sequences must be 1 to 10000000, got {self.max_sequences}",
        )
        check(
            self.max_sequence_state_mb >= 1,
            f"max-sequence-state-mb must be at least 1, got {self.max_sequence_state_mb}",
        )
        check_choice("share-slot-runs", self.share_slot_runs, SHARE)
