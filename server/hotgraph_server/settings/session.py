"""What TensorFlow is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from hotgraph_server.settings.fields import check, check_choice, setting

PLAN = ("auto", "as-saved")
_DEVICE = re.compile(r"/?(?:device:)?(CPU|GPU|cpu|gpu):(\d{1,3})")


@dataclass(frozen=True)
class OpsSettings:
    """Ops from elsewhere; owned by graph/other_ops.py."""

    import_: tuple[str, ...] = setting(
        (),
        "import a Python module that brings ops of its own, such as tensorflow_text, before any model is"
        " loaded; may be given again for another one",
        kind=list,
        metavar="MODULE",
    )
    load_op_library: tuple[str, ...] = setting(
        (),
        "load a library of ops (.so) that was built for this TensorFlow; may be given again for another one",
        kind=list,
        metavar="FILE",
    )


@dataclass(frozen=True)
class SessionSettings:
    """What TensorFlow is told when a session is opened, and how its graph is run; owned by graph/."""

    device: str = setting("/CPU:0", "where graphs and sessions live: /CPU:0, /GPU:0 ...")
    plan: str = setting(
        "auto",
        "how graphs are run: auto tries what is fastest and right, as-saved tries nothing",
        metavar="PLAN",
        choices=PLAN,
    )
    plan_budget_s: float = setting(
        5.0, "seconds that a model's loading may spend on finding the fastest plan; 0: it tries nothing"
    )
    xla: bool = setting(
        False,
        "try XLA too, which compiles a graph for each number of rows: for signatures with no free dimension,"
        " and with row_buckets for those whose rows alone are free",
    )
    cpu_devices: int = setting(1, "virtual CPU devices that TensorFlow shall offer, for tests of placement")
    intra_op_threads: int = setting(
        0, "threads that share the work of one op; 0: as many as there are processors"
    )
    inter_op_threads: int = setting(0, "threads that run independent ops; 0: as many as there are processors")
    gpu_memory_fraction: float = setting(
        0.0, "share of a GPU's memory that TensorFlow may take; 0: what it needs", flag=False
    )
    own_threads: bool = setting(
        False,
        "give a session threads of its own; off: all share those that the first of them asked for",
        flag=False,
    )
    graph_tag: str = setting(
        "", "tag of the graph to serve, of a SavedModel with several; empty: serve", flag=False
    )
    session_config: str = setting(
        "", "text file of a tensorflow.ConfigProto that sessions start from", flag=False
    )

    def __post_init__(self) -> None:
        check(
            _DEVICE.fullmatch(self.device) is not None,
            f"device must look like /CPU:0 or /GPU:1, got {self.device!r}",
        )
        check(1 <= self.cpu_devices <= 1000, f"cpu-devices must be 1 to 1000, got {self.cpu_devices}")
        for flag, threads in (
            ("intra-op-threads", self.intra_op_threads),
            ("inter-op-threads", self.inter_op_threads),
        ):
            # TensorFlow takes an int32 and starts as many; the limit is a guess at what no owner means.
            check(0 <= threads <= 10_000, f"{flag} must be 0 to 10000, got {threads}")
        check_choice("plan", self.plan, PLAN)
        check(
            0 <= self.gpu_memory_fraction <= 1,
            f"gpu-memory-fraction must be 0 to 1, got {self.gpu_memory_fraction}",
        )
        # Neither "not a number" nor infinity is a time to wait for.
        check(0 <= self.plan_budget_s <= 3600, f"plan-budget-s must be 0 to 3600, got {self.plan_budget_s}")
        check(
            not self.xla or (self.plan != "as-saved" and self.plan_budget_s > 0),
            "xla is one of the plans that are tried, but plan as-saved or plan-budget-s 0 tries nothing",
        )

    @property
    def canonical_device(self) -> str:
        """The device as TensorFlow lists it, without job and task: ``/device:CPU:0``."""
        kind, index = cast("re.Match[str]", _DEVICE.fullmatch(self.device)).groups()
        return f"/device:{kind.upper()}:{int(index)}"
