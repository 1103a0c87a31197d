"""Figures of GPUs from a driver's library that the test makes up."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from hotgraph_server.observability.metrics.gpus import Gpus

NOT_SUPPORTED = 3
UNKNOWN_ERROR = 999


class Driver:
    """NVML's functions that are asked for, over two GPUs; of the second nobody knows the energy."""

    def __init__(self, broken: bool = False) -> None:
        self.begun = 0
        self._broken = broken

    def nvmlInit_v2(self) -> int:
        self.begun += 1
        return UNKNOWN_ERROR if self._broken else 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:
        handle._obj.value = 1 + index
        return 0

    def nvmlDeviceGetUUID(self, handle: Any, uuid: Any, size: int) -> int:
        uuid.value = f"GPU-{handle.value}".encode()
        return 0 if len(uuid.value) < size else NOT_SUPPORTED

    def nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> int:
        rates._obj.gpu, rates._obj.memory = 25 * handle.value, 99
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        memory._obj.total, memory._obj.free, memory._obj.used = 80 << 30, 50 << 30, 30 << 30
        return 0

    def nvmlDeviceGetPowerUsage(self, handle: Any, power: Any) -> int:
        power._obj.value = 123_400
        return 0

    def nvmlDeviceGetPowerManagementLimit(self, handle: Any, power: Any) -> int:
        power._obj.value = 700_000
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, energy: Any) -> int:
        energy._obj.value = 2**40
        return 0 if handle.value == 1 else NOT_SUPPORTED


def samples(gpus: Gpus) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["gpu_uuid"]): sample.value
        for metric in gpus.metrics()
        for sample in metric.samples
    }


def test_each_gpu_has_its_figures_in_tritons_units() -> None:
    driver = Driver()
    gpus = Gpus(lambda: driver)
    found = samples(gpus)
    assert found["nv_gpu_utilization", "GPU-1"] == 0.25
    assert found["nv_gpu_utilization", "GPU-2"] == 0.5
    assert found["nv_gpu_memory_total_bytes", "GPU-1"] == 80 << 30
    assert found["nv_gpu_memory_used_bytes", "GPU-1"] == 30 << 30
    assert found["nv_gpu_power_usage", "GPU-1"] == 123.4
    assert found["nv_gpu_power_limit", "GPU-1"] == 700
    assert found["nv_energy_consumption", "GPU-1"] == 2**40 / 1000
    assert samples(gpus) == found
    assert driver.begun == 1


def test_what_a_gpu_does_not_know_has_no_sample() -> None:
    assert ("nv_energy_consumption", "GPU-2") not in samples(Gpus(Driver))


def test_without_a_driver_there_are_none() -> None:
    def missing() -> Any:
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    assert samples(Gpus(missing)) == {}


def test_driver_that_does_not_answer_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    gpus = Gpus(lambda: Driver(broken=True))
    with caplog.at_level(logging.WARNING):
        assert samples(gpus) == samples(gpus) == {}
    assert caplog.text.count("no figures of GPUs") == 1
