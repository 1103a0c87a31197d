"""Answers that are kept to be given again."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, setting


@dataclass(frozen=True)
class ResponseCacheSettings:
    """How much is kept; owned by response_cache.py."""

    cache_mb: int = setting(
        0, "MiB of answers to keep, of all models that have response_cache on together; 0: none"
    )

    def __post_init__(self) -> None:
        check(0 <= self.cache_mb <= 1 << 24, f"cache-mb must be 0 to {1 << 24} (16 TiB), got {self.cache_mb}")


@dataclass(frozen=True)
class CacheSettings:
    """Whether a model's answers are kept; owned by response_cache.py."""

    response_cache: bool = setting(
        False,
        "keep the model's answers, within cache_mb, and answer a call like an earlier one with the same",
        flag=False,
    )
