"""What clients on the same machine may share with the server."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, setting


@dataclass(frozen=True)
class SharedMemorySettings:
    """Whether clients may name shared memory in place of tensors, and how much; owned by shared_memory.py."""

    allow_client_shm: bool = setting(
        False,
        "let clients register shared memory and name it in place of tensors; whoever may call the server can"
        " then read and write every shared memory object that its user can",
    )
    max_client_shm_regions: int = setting(
        512, "shared memory regions that may be registered at once", flag=False
    )
    max_client_shm_mb: int = setting(4096, "MiB that these may have together", flag=False)
    client_shm_prefix: str = setting(
        "", "what the names of shared memory objects that clients register must begin with", flag=False
    )

    def __post_init__(self) -> None:
        # Each keeps a file open, beside the connections.
        check(
            1 <= self.max_client_shm_regions <= 100_000,
            f"max-client-shm-regions must be 1 to 100000, got {self.max_client_shm_regions}",
        )
        check(
            1 <= self.max_client_shm_mb <= 1 << 24,
            f"max-client-shm-mb must be 1 to {1 << 24} (16 TiB), got {self.max_client_shm_mb}",
        )
        check(
            "/" not in self.client_shm_prefix,
            f"client-shm-prefix must be the beginning of a file name, got {self.client_shm_prefix!r}",
        )
