"""Everything that can be set: one small frozen dataclass an owner, checked once, declared once.

The flags of ``hotgraph serve``, their help and the keys of the settings file are all made from these
fields. A field is ``setting(default, help)``; its flag is its name with dashes, its key in the file is
its name (`key_of`). What few people ever set has ``flag=False`` and is a key only. Nothing here reads argv,
files or the environment.
"""

from hotgraph_server.settings.access import AccessSettings
from hotgraph_server.settings.batch import BatchSettings
from hotgraph_server.settings.control import ControlSettings
from hotgraph_server.settings.conversion import ConversionSettings
from hotgraph_server.settings.fields import build, fields_of, in_present_words, key_of, setting
from hotgraph_server.settings.forwarding import ForwardingSettings
from hotgraph_server.settings.health import HealthSettings
from hotgraph_server.settings.inference import InferenceSettings, TraceSettings
from hotgraph_server.settings.load_reports import LoadReportSettings
from hotgraph_server.settings.log import LoggingSettings
from hotgraph_server.settings.model import (
    TENSORFLOW,
    AllVersions,
    FolderSettings,
    Latest,
    ModelFactory,
    ModelSettings,
    Specific,
    VersionPolicy,
    WarmupSettings,
)
from hotgraph_server.settings.on_demand import OnDemandSettings, ResidencySettings
from hotgraph_server.settings.otlp import OtlpSettings
from hotgraph_server.settings.ports import AdminSettings, ListenSettings, RestSettings
from hotgraph_server.settings.processes import ProcessSettings
from hotgraph_server.settings.queue_policy import QueuePolicy
from hotgraph_server.settings.repository import RepositorySettings
from hotgraph_server.settings.request_log import LogSettings
from hotgraph_server.settings.response_cache import CacheSettings, ResponseCacheSettings
from hotgraph_server.settings.sequences import SequenceSettings
from hotgraph_server.settings.server import PER_MODEL, PER_SERVER, PredictionSettings, ServerSettings
from hotgraph_server.settings.session import OpsSettings, SessionSettings
from hotgraph_server.settings.shadow import ShadowSettings
from hotgraph_server.settings.shared_memory import SharedMemorySettings
from hotgraph_server.settings.state import StateSettings

__all__ = [
    "PER_MODEL",
    "PER_SERVER",
    "TENSORFLOW",
    "AccessSettings",
    "AdminSettings",
    "AllVersions",
    "BatchSettings",
    "CacheSettings",
    "ControlSettings",
    "ConversionSettings",
    "FolderSettings",
    "ForwardingSettings",
    "HealthSettings",
    "InferenceSettings",
    "Latest",
    "ListenSettings",
    "LoadReportSettings",
    "LogSettings",
    "LoggingSettings",
    "ModelFactory",
    "ModelSettings",
    "OnDemandSettings",
    "OpsSettings",
    "OtlpSettings",
    "PredictionSettings",
    "ProcessSettings",
    "QueuePolicy",
    "RepositorySettings",
    "ResidencySettings",
    "ResponseCacheSettings",
    "RestSettings",
    "SequenceSettings",
    "ServerSettings",
    "SessionSettings",
    "ShadowSettings",
    "SharedMemorySettings",
    "Specific",
    "StateSettings",
    "TraceSettings",
    "VersionPolicy",
    "WarmupSettings",
    "build",
    "fields_of",
    "in_present_words",
    "key_of",
    "setting",
]
