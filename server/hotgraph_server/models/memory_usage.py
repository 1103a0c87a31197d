"""What a version costs in memory, as a value: pure, and the same for who evicts by it and who shows it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Basis(enum.Enum):
    """What figures rest on, from the weakest to the strongest."""

    ESTIMATED = "estimated"
    """From the sizes of its files, or of its tensors, and what versions before it took."""

    SHARED = "shared"
    """It was loaded while others were: what all of them took was measured, and is divided by the sizes of
    their tensors. The sum is right, and the parts nearly."""

    MEASURED = "measured"
    """It was loaded while nothing else was, and the process grew by so much."""


@dataclass(frozen=True)
class MemoryUsage:
    """Of one version, while it is live and between two runs: what runs take for a moment is not in it.

    Attributes:
        host_bytes: in the machine's memory.
        device_bytes: in the memory of `device`; 0 where that is the machine's own.
        device: as settings name it in full, ``/device:GPU:0``; empty: it has no memory of its own.
        basis: see there; of `host_bytes`.
    """

    host_bytes: int = 0
    device_bytes: int = 0
    device: str = ""
    basis: Basis = Basis.ESTIMATED

    def by_device(self) -> dict[str, int]:
        """Bytes by the device, as ``CPU:0`` and ``GPU:0``; those that hold some."""
        places = {"CPU:0": self.host_bytes, self.device.removeprefix("/device:"): self.device_bytes}
        return {place: nbytes for place, nbytes in places.items() if place and nbytes}

    @property
    def total_bytes(self) -> int:
        """Wherever they are."""
        return self.host_bytes + self.device_bytes
