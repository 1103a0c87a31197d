"""What NVIDIA's GPUs do, under Triton's names, as the driver's own library (NVML) tells it.

The library comes with the driver; where there is none, there are no figures. Functions and units are those of
NVIDIA's NVML API reference, "Device Queries". In one thread, the one that answers scrapes.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import Metric

_LOG = logging.getLogger(__name__)

_LIBRARY = "libnvidia-ml.so.1"
_UUID_BYTES = 96  # NVML_DEVICE_UUID_V2_BUFFER_SIZE


class _Utilization(ctypes.Structure):
    """nvmlUtilization_t: percent of the last sampling period in which something ran, and memory was used."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    """nvmlMemory_t: bytes."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


_Figure = tuple[str, str, str, type[Any], Callable[[Any], float]]
# Name, help, NVML's function, what it fills in, and what that means.
_FIGURES: tuple[_Figure, ...] = (
    (
        "nv_gpu_utilization",
        "Busy share of the GPU, 0 to 1.",
        "nvmlDeviceGetUtilizationRates",
        *(_Utilization, lambda found: found.gpu / 100),
    ),
    (
        "nv_gpu_memory_total_bytes",
        "Memory of the GPU.",
        "nvmlDeviceGetMemoryInfo",
        *(_Memory, lambda found: found.total),
    ),
    (
        "nv_gpu_memory_used_bytes",
        "What of it is in use, by anybody.",
        "nvmlDeviceGetMemoryInfo",
        *(_Memory, lambda found: found.used),
    ),
    (
        "nv_gpu_power_usage",
        "What the GPU takes now, watts.",
        "nvmlDeviceGetPowerUsage",
        *(ctypes.c_uint, lambda found: found.value / 1e3),
    ),
    (
        "nv_gpu_power_limit",
        "What it may take, watts.",
        "nvmlDeviceGetPowerManagementLimit",
        *(ctypes.c_uint, lambda found: found.value / 1e3),
    ),
    (
        "nv_energy_consumption",
        "What it has taken since the driver was loaded, joules.",
        "nvmlDeviceGetTotalEnergyConsumption",
        *(ctypes.c_ulonglong, lambda found: found.value / 1e3),
    ),
)


def _driver() -> Any:
    return ctypes.CDLL(_LIBRARY)


class Gpus:
    """Those of the machine, whichever of them models are on.

    Args:
        load: gives NVML, or raises OSError; called at the first scrape, because it takes its time.
    """

    def __init__(self, load: Callable[[], Any] = _driver) -> None:
        self._load = load
        self._library: Any = None
        self._found: list[tuple[str, ctypes.c_void_p]] | None = None

    def metrics(self) -> Iterator[Metric]:
        """A metric each, with a sample for every GPU that knows it (label `gpu_uuid`)."""
        if self._found is None:
            self._found = self._look()
        for name, help, function, kind, meaning in _FIGURES:
            metric = Metric(name, help, "unknown" if name == "nv_energy_consumption" else "gauge")
            for uuid, handle in self._found:
                told = kind()
                if not getattr(self._library, function)(handle, ctypes.byref(told)):
                    metric.add_sample(name, {"gpu_uuid": uuid}, meaning(told))
            if metric.samples:
                yield metric

    def _look(self) -> list[tuple[str, ctypes.c_void_p]]:
        try:
            library = self._library = self._load()
        except OSError:
            return []
        count = ctypes.c_uint()
        if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            _LOG.warning("there are no figures of GPUs: the driver's %s does not answer", _LIBRARY)
            return []
        found = []
        for index in range(count.value):
            handle, uuid = ctypes.c_void_p(), ctypes.create_string_buffer(_UUID_BYTES)
            if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
                continue
            if not library.nvmlDeviceGetUUID(handle, uuid, _UUID_BYTES):
                found.append((uuid.value.decode("ascii", "replace"), handle))
        return found
