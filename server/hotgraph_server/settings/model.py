"""One model: where it lies, which versions are served, and how each is run."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotgraph_server.settings.batch import BatchSettings
from hotgraph_server.settings.fields import check, setting
from hotgraph_server.settings.on_demand import ResidencySettings
from hotgraph_server.settings.request_log import LogSettings
from hotgraph_server.settings.response_cache import CacheSettings
from hotgraph_server.settings.sequences import SequenceSettings
from hotgraph_server.settings.session import SessionSettings
from hotgraph_server.settings.shadow import ShadowSettings
from hotgraph_server.settings.state import StateSettings

_CARRIED_BY_NOTHING = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class WarmupSettings:
    """What a version is warmed up with before it is live; owned by warmup/first_runs.py."""

    warm_up: bool = setting(
        True,
        "run models on generated input before they are live: shows what fails, what may share a batch, and"
        " which plan is fast; off: calls run alone and as saved, unless settings say otherwise",
    )
    warm_up_budget_s: float = setting(
        30.0,
        "seconds that the runs on generated input which show what a version takes may last; one that does not"
        " end is interrupted after a quarter of its signature's part",
        flag=False,
    )
    warm_up_memory_mb: int = setting(
        2048,
        "what the ops of one such run may allocate, all together, in MB; runs of joined calls have no more"
        " rows than keep within it",
        flag=False,
    )
    warmup_records: bool = setting(
        True,
        "warm up with the calls that a model brings in assets.extra/tf_serving_warmup_requests",
        flag=False,
    )
    warmup_rounds: int = setting(1, "how often each of these calls is run", flag=False)

    def __post_init__(self) -> None:
        check(1 <= self.warmup_rounds <= 1000, f"warmup-rounds must be 1 to 1000, got {self.warmup_rounds}")
        check(
            0 < self.warm_up_budget_s <= 3600,
            f"warm-up-budget-s must be above 0 and at most 3600, got {self.warm_up_budget_s}",
        )
        check(
            1 <= self.warm_up_memory_mb <= 2**20,
            f"warm-up-memory-mb must be 1 to {2**20}, got {self.warm_up_memory_mb}",
        )


@dataclass(frozen=True)
class Latest:
    """The versions with the highest numbers are served, `count` of them."""

    count: int = 1

    def __post_init__(self) -> None:
        check(self.count >= 1, f"the number of latest versions must be at least 1, got {self.count}")


@dataclass(frozen=True)
class AllVersions:
    """Every version that is there is served."""


@dataclass(frozen=True)
class Specific:
    """These versions are served, as far as they are there."""

    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        check(bool(self.numbers), "a policy of specific versions must name one")


VersionPolicy = Latest | AllVersions | Specific


def may_be_several(policy: VersionPolicy) -> bool:
    """May more than one version be served by this policy?"""
    match policy:
        case Latest(count):
            return count > 1
        case Specific(numbers):
            return len(numbers) > 1
    return True


TENSORFLOW = "tensorflow"


@dataclass(frozen=True)
class FolderSettings:
    """How a model's folder is read and followed; owned by repository/.

    Attributes:
        saved_model: the folder of the SavedModel within a version's, where that is none itself.
        plain_numbers: only a folder whose name is a number without sign and leading zeros is a version.
        inside: a version's folder, or the SavedModel's in it, that is a link out of this one is left out;
            None: links may go anywhere.
        linked_files: may files that the model's configuration names be links out of the model's folder? Not
            where a caller has written it.
        polled: is it looked at whenever the time for that has come, or only when the model is asked for?
        retried: is a load that failed tried again?
        reloaded: is a version that is live loaded again when its files change? When the settings of its model
            do, it always is.
    """

    saved_model: str = "model.savedmodel"
    plain_numbers: bool = False
    inside: Path | None = None
    linked_files: bool = False
    polled: bool = True
    retried: bool = True
    reloaded: bool = False


@dataclass(frozen=True)
class ModelSettings:
    """One model: its name, where it lies, which versions are served, and how it is batched and run.

    Attributes:
        labels: names that callers may use for version numbers; they hold once the version is live.
        platform: what TensorFlow Serving calls the kind of model.
        log: which calls are written down; None: none.
        batching_params: does a ``batching_params.pbtxt`` in a version's folder say how it is batched?
        folder: how its folder is read and followed.
        config: its own ``config.pbtxt``, an inference.ModelConfig, which the other settings follow already;
            None: it has none.
        kept: whether its answers are.
        sequences: what its sequences may hold and share, if it has any.
        residency: whether it stays in memory.
        shadow: which of its versions callers get, and which is compared with that.
    """

    name: str
    path: Path
    batch: BatchSettings = dataclasses.field(default_factory=BatchSettings)
    session: SessionSettings = dataclasses.field(default_factory=SessionSettings)
    versions: VersionPolicy = dataclasses.field(default_factory=Latest)
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    platform: str = TENSORFLOW
    warmup: WarmupSettings = dataclasses.field(default_factory=WarmupSettings)
    log: LogSettings | None = None
    batching_params: bool = False
    config: Any = None
    folder: FolderSettings = dataclasses.field(default_factory=FolderSettings)
    state: StateSettings = dataclasses.field(default_factory=StateSettings)
    kept: CacheSettings = dataclasses.field(default_factory=CacheSettings)
    sequences: SequenceSettings = dataclasses.field(default_factory=SequenceSettings)
    residency: ResidencySettings = dataclasses.field(default_factory=ResidencySettings)
    shadow: ShadowSettings = dataclasses.field(default_factory=ShadowSettings)

    def __post_init__(self) -> None:
        fault = model_name_fault(self.name)
        check(fault is None, str(fault))


def model_name_fault(name: str) -> str | None:
    """Why a model cannot be called so; None: it can.

    A name is what TensorFlow Serving and Triton take: any text that a message and a line of the log can
    carry. Wherever it goes further it is encoded: in URLs, in labels of metrics, in names of files.
    """
    if not name:
        return "a model's name is a text that is not empty, got ''"
    if name.isprintable():
        return None
    # Control characters, halves of surrogate pairs (of a folder's name that is not UTF-8), ends of lines.
    odd = next((one for one in name if unicodedata.category(one) in _CARRIED_BY_NOTHING), None)
    if odd is None:
        return None
    what = "bytes that are not UTF-8" if unicodedata.category(odd) == "Cs" else "a control character"
    return f"a model's name cannot have {what}, got {name[:200]!a}"


ModelFactory = Callable[[str, Path, Any], ModelSettings]
"""Makes a model of this name and folder, and of its own inference.ModelConfig (None: it has none), which is
otherwise like the others of its server; raises StartError."""
