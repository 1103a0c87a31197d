"""A whole server, and which owners' settings may be given for it and for one model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from hotgraph_server.settings.access import AccessSettings
from hotgraph_server.settings.batch import BatchSettings
from hotgraph_server.settings.control import AUTO, ControlSettings
from hotgraph_server.settings.conversion import ConversionSettings
from hotgraph_server.settings.fields import check, setting
from hotgraph_server.settings.forwarding import ForwardingSettings
from hotgraph_server.settings.health import HealthSettings
from hotgraph_server.settings.inference import InferenceSettings, TraceSettings
from hotgraph_server.settings.load_reports import LoadReportSettings
from hotgraph_server.settings.log import LoggingSettings
from hotgraph_server.settings.model import ModelFactory, ModelSettings, WarmupSettings
from hotgraph_server.settings.on_demand import OnDemandSettings, ResidencySettings
from hotgraph_server.settings.otlp import OtlpSettings
from hotgraph_server.settings.ports import AdminSettings, ListenSettings, RestSettings
from hotgraph_server.settings.processes import ProcessSettings
from hotgraph_server.settings.repository import RepositorySettings
from hotgraph_server.settings.response_cache import CacheSettings, ResponseCacheSettings
from hotgraph_server.settings.sequences import SequenceSettings
from hotgraph_server.settings.session import OpsSettings, SessionSettings
from hotgraph_server.settings.shadow import ShadowSettings
from hotgraph_server.settings.shared_memory import SharedMemorySettings
from hotgraph_server.settings.state import StateSettings


@dataclass(frozen=True)
class PredictionSettings:
    """How TensorFlow Serving's PredictionService reads and answers, over gRPC and REST; owned by
    protocols/tfs."""

    strict_shapes: bool | None = setting(
        None,
        "refuse inputs whose shape contradicts the signature on REST and on Predict; off: on neither; where "
        "nothing is said REST refuses them, and Predict leaves them to the graph",
        kind=bool,
    )
    tensor_content: bool = setting(
        False, "answer Predict with tensor_content in place of typed fields", flag=False
    )
    check_method_names: bool = setting(
        False,
        "refuse calls of signatures whose method_name is of another kind than the call's",
        flag=False,
    )

    @property
    def rest_checks_shapes(self) -> bool:
        """Are the shapes of REST's inputs held against the signature?"""
        return self.strict_shapes is not False

    @property
    def predict_checks_shapes(self) -> bool:
        """Those of Predict's?"""
        return self.strict_shapes is True


@dataclass(frozen=True)
class ServerSettings:
    """A whole server.

    Attributes:
        offered: what models are like that the repositories of `control` offer; None: as the defaults say.
    """

    models: tuple[ModelSettings, ...]
    listen: ListenSettings = dataclasses.field(default_factory=ListenSettings)
    admin: AdminSettings = dataclasses.field(default_factory=AdminSettings)
    rest: RestSettings = dataclasses.field(default_factory=RestSettings)
    repository: RepositorySettings = dataclasses.field(default_factory=RepositorySettings)
    prediction: PredictionSettings = dataclasses.field(default_factory=PredictionSettings)
    shared_memory: SharedMemorySettings = dataclasses.field(default_factory=SharedMemorySettings)
    cache: ResponseCacheSettings = dataclasses.field(default_factory=ResponseCacheSettings)
    control: ControlSettings = dataclasses.field(default_factory=ControlSettings)
    offered: ModelFactory | None = None
    inference: InferenceSettings = dataclasses.field(default_factory=InferenceSettings)
    tracing: TraceSettings = dataclasses.field(default_factory=TraceSettings)
    otlp: OtlpSettings = dataclasses.field(default_factory=OtlpSettings)
    logging: LoggingSettings = dataclasses.field(default_factory=LoggingSettings)
    ops: OpsSettings = dataclasses.field(default_factory=OpsSettings)
    access: AccessSettings = dataclasses.field(default_factory=AccessSettings)
    processes: ProcessSettings = dataclasses.field(default_factory=ProcessSettings)
    health: HealthSettings = dataclasses.field(default_factory=HealthSettings)
    load_reports: LoadReportSettings = dataclasses.field(default_factory=LoadReportSettings)
    on_demand: OnDemandSettings = dataclasses.field(default_factory=OnDemandSettings)
    conversion: ConversionSettings = dataclasses.field(default_factory=ConversionSettings)
    forwarding: ForwardingSettings = dataclasses.field(default_factory=ForwardingSettings)

    def __post_init__(self) -> None:
        check(
            not self.admin.admin_port or self.admin.admin_port != self.listen.port,
            f"admin-port and port must differ, both are {self.listen.port}",
        )
        for flag, other in (("port", self.listen.port), ("admin-port", self.admin.admin_port)):
            check(
                not self.rest.rest_port or self.rest.rest_port != other,
                f"rest-port and {flag} must differ, both are {other}",
            )
        health = self.health.health_port
        for flag, other in (
            ("port", self.listen.port),
            ("admin-port", self.admin.admin_port),
            ("rest-port", self.rest.rest_port),
        ):
            check(not health or health != other, f"health-port and {flag} must differ, both are {other}")
        check(
            not self.on_demand.memory_mb or self.control.model_control == AUTO,
            "memory-mb goes with model-control auto, which gives models up; there is no limit without it",
        )
        names = [model.name for model in self.models]
        for name in names:
            check(
                names.count(name) == 1,
                f"two models are called {name!r}; give one another name: NAME=DIR",
            )


PER_SERVER: tuple[type, ...] = (
    ListenSettings,
    AdminSettings,
    RestSettings,
    RepositorySettings,
    PredictionSettings,
    SharedMemorySettings,
    ResponseCacheSettings,
    ControlSettings,
    InferenceSettings,
    TraceSettings,
    OtlpSettings,
    LoggingSettings,
    OpsSettings,
    AccessSettings,
    ProcessSettings,
    HealthSettings,
    LoadReportSettings,
    OnDemandSettings,
    ConversionSettings,
    ForwardingSettings,
)
PER_MODEL: tuple[type, ...] = (
    BatchSettings,
    SessionSettings,
    WarmupSettings,
    CacheSettings,
    StateSettings,
    SequenceSettings,
    ResidencySettings,
    ShadowSettings,
)
"""These may also be set for one model alone, in the file."""
