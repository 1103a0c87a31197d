"""Which calls are traced: what was said for all models and for single ones, what has been drawn. No locks.

What is said for one model holds for it, field by field, over what is said for all. A model of which something
is said has counters of its own: every how manieth of its calls, how many in all. The others share theirs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

from hotgraph_server.observability.tracing.configs import Change, TraceConfig

_ALL = ""


class Drawn(NamedTuple):
    """A call that is traced.

    Attributes:
        level: what its trace holds.
        of: whose counters have drawn it: a model's name, or nothing for all.
        log_frequency: see TraceConfig.
    """

    level: frozenset[str]
    of: str
    log_frequency: int


@dataclass
class _Counters:
    seen: int = 0
    drawn: int = 0


class Samplings:
    """See the head of this file; `base` is what holds until somebody says otherwise."""

    def __init__(self, base: TraceConfig) -> None:
        self._base = base
        self._said: dict[str, dict[str, Any]] = {_ALL: {}}
        self._counters = {_ALL: _Counters()}
        self._configs: dict[str, TraceConfig] = {}

    @property
    def any_active(self) -> bool:
        """Can any call be drawn?"""
        return any(self._config(name).level for name in self._said)

    def shown(self, model: str = _ALL) -> TraceConfig:
        """What holds for a model, or for those without words of their own; `count` is what is left of it."""
        config = self._config(model)
        if config.count < 0:
            return config
        return dataclasses.replace(config, count=max(config.count - self._counters_of(model).drawn, 0))

    def change(self, change: Change, model: str = _ALL) -> None:
        """Say something else, for one model or for all."""
        said = self._said.setdefault(model, {})
        self._counters.setdefault(model, _Counters())
        for name, value in change.items():
            if value is None:
                said.pop(name, None)
            else:
                said[name] = value
        if "count" in change:
            # A number of traces is counted from when it was said.
            for name, counters in self._counters.items():
                if name == model or (model == _ALL and "count" not in self._said[name]):
                    counters.drawn = 0
        if model != _ALL and not said:
            del self._said[model], self._counters[model]
        self._configs.clear()

    def draw(self, model: str) -> Drawn | None:
        """Count a call of a model, and say whether it is traced."""
        config = self._config(model)
        if not config.level or not config.rate:
            return None
        counters = self._counters_of(model)
        if 0 <= config.count <= counters.drawn:
            return None
        counters.seen += 1
        if counters.seen % config.rate:
            return None
        counters.drawn += 1
        return Drawn(config.level, model if model in self._said else _ALL, config.log_frequency)

    def _counters_of(self, model: str) -> _Counters:
        return self._counters.get(model) or self._counters[_ALL]

    def _config(self, model: str) -> TraceConfig:
        # Callers invent names of models; only those with words of their own are remembered.
        name = model if model in self._said else _ALL
        config = self._configs.get(name)
        if config is None:
            said = {**self._said[_ALL], **self._said[name]}
            config = self._configs[name] = dataclasses.replace(self._base, **said)
        return config
