"""Which calls are written down: PredictionService's methods, with a look at each call on its way.

A call that is not written down costs one comparison, where no model has a log, or one random number. Of one
that is, the request's bytes are copied at once (they belong to the method), and the response's are kept
when it has been encoded; everything else happens in the writer's thread. Only answers are written down,
no errors, as TensorFlow Serving does it.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterable, Mapping

from hotgraph_server.observability.request_log import records
from hotgraph_server.observability.request_log.writer import LogWriter
from hotgraph_server.settings import LogSettings, ModelSettings
from hotgraph_server.transport.forwarding import ForwardingReply
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Answered, HotMethod, Reply, Service, joined

# For a disk that is slow at the end; what is left then is lost.
_STOP_S = 5.0


class RequestLogs:
    """The request logs of a server.

    `configure` and `stop` belong to one thread at a time, and once stopped there is no more to configure; the
    methods of `around` may be called by any.
    """

    def __init__(
        self,
        writer: LogWriter | None = None,
        draw: Callable[[], float] = random.random,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer or LogWriter()
        self._draw = draw
        self._now = now
        self._running = False
        # Swapped whole, so that a call sees the one or the other.
        self._logs: Mapping[str, LogSettings] = {}
        self._highest_rate = 0.0

    def configure(self, models: Iterable[ModelSettings]) -> None:
        """From now on these models' logs hold, and no others. The writer runs from the first one on."""
        logs = {model.name: model.log for model in models if model.log is not None}
        if logs and not self._running:
            self._running = True
            self._writer.start()
        self._logs = logs
        self._highest_rate = max((log.sampling_rate for log in logs.values()), default=0.0)

    def stop(self, timeout_s: float = _STOP_S) -> None:
        """Write what waits, and end, within so many seconds; once no more calls come."""
        self._highest_rate = 0.0
        if self._running:
            self._running = False
            self._writer.stop(timeout_s)

    @property
    def lost(self) -> int:
        """How many records were not written so far."""
        return self._writer.lost

    def may_write(self, model: str) -> bool:
        """Has the model of that name a log?"""
        return model in self._logs

    def around(self, service: Service) -> Service:
        """The service, with every call looked at that could have a record."""
        return dataclasses.replace(
            service,
            hot={
                name: self._looking(name, method) if name in records.METHODS else method
                for name, method in service.hot.items()
            },
        )

    def _looking(self, name: str, method: HotMethod) -> HotMethod:
        def look(message: Message, reply: Reply) -> None:
            highest = self._highest_rate
            if highest:
                drawn = self._draw()
                # The same number decides for the model: below the highest rate it is as random as before.
                if drawn < highest:
                    log = self._logs.get(records.model_name(name, message) or "")
                    if log is not None and drawn < log.sampling_rate:
                        reply = _RecordedReply(reply, self._keeping(name, bytes(message), log))
            method(message, reply)

        return look

    def _keeping(self, method: str, request: bytes, log: LogSettings) -> Callable[[bytes], None]:
        def keep(response: bytes) -> None:
            timestamp_s = int(self._now())

            def make() -> bytes:
                return records.prediction_log(method, request, response, log.sampling_rate, timestamp_s)

            self._writer.offer(log.prefix, len(request) + len(response), make)

        return keep


class _RecordedReply(ForwardingReply):
    """A reply whose answer, once encoded, is given to `keep` too."""

    def __init__(self, reply: Reply, keep: Callable[[bytes], None]) -> None:
        super().__init__(reply)
        self._keep = keep

    def finish(self, encode: Callable[[], Answered]) -> None:
        keep = self._keep

        def kept() -> bytes:
            response = joined(encode())
            keep(response)
            return response

        self._reply.finish(kept)
