"""hotgraph's client as a user of locust, for those who have their load tests there.

    pip install locust .                # in a checkout; tried with locust 2.47
    locust -f scripts/loadtest/locustfile.py --host 127.0.0.1:8500 --model digits --users 32
    locust -f scripts/loadtest/locustfile.py --host http://127.0.0.1:8502 --model digits \
        --headless --users 32 --spawn-rate 32 --run-time 30s --html report.html

Subclass `InferenceUser` and override `inputs` to send what your callers send; here it is random numbers of
the shapes that the model states.

What locust measures is a closed loop: a user who waits does not send, and his clock starts when the call
does, not when it should have. While the server stands still there is one slow call for each user, and none
for all those that were not sent. `hotgraph loadtest` counts them (docs/loadtest.md): its figures and locust's
are not of the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# first: it replaces sockets and locks by gevent's, which everything imported later then uses
import locust  # isort: skip

import grpc.experimental.gevent
import numpy as np
from numpy.typing import NDArray

from hotgraph_client import Client, HotgraphError, ModelMetadata

# Else a call over gRPC would hold up every user of the process.
grpc.experimental.gevent.init_gevent()

_DTYPES = {
    "BOOL": "bool",
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


@locust.events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _add_options(parser: Any) -> None:
    parser.add_argument("--model", default="digits", help="to call (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1, help="of each call (default: %(default)s)")
    parser.add_argument("--timeout-s", type=float, default=10.0, help="of a call (default: %(default)s)")


class InferenceUser(locust.User):  # type: ignore[misc]
    """A caller with one call at a time, one right after the other unless `wait_time` says otherwise."""

    host = "127.0.0.1:8500"
    wait_time = locust.constant(0)

    def on_start(self) -> None:
        """Connect, and ask for what the model takes."""
        given = self.environment.parsed_options
        self.model, self.rows = given.model, given.rows
        # Without retries, for a call that was sent twice would count once.
        self.client = Client(self.host, timeout_s=given.timeout_s, retries=0)
        self.sent = self.inputs(self.client.metadata(self.model))

    def on_stop(self) -> None:
        """Hang up."""
        self.client.close()

    def inputs(self, metadata: ModelMetadata) -> Mapping[str, NDArray[Any]]:
        """What is sent in each call; made once for each user.

        Raises:
            ValueError: an input of another type than numbers, for which there is nothing to guess.
        """
        chance = np.random.default_rng()
        made: dict[str, NDArray[Any]] = {}
        for tensor in metadata.inputs:
            if tensor.datatype not in _DTYPES:
                raise ValueError(f"override inputs(): nobody can guess what to send as {tensor}")
            shape = [1 if size < 0 else size for size in tensor.shape]
            if tensor.shape and tensor.shape[0] < 0:
                shape[0] = self.rows
            # Below 2, so that ids and counts are in bounds.
            made[tensor.name] = (chance.random(shape) * 2).astype(_DTYPES[tensor.datatype])
        return made

    @locust.task  # type: ignore[untyped-decorator]
    def predict(self) -> None:
        """One call, which locust counts under the model's name."""
        with self.environment.events.request.measure("predict", self.model) as about:
            try:
                answer = self.client.predict(self.model, self.sent)
            except HotgraphError as error:
                # The status, so that locust's table has a line for each and not for each text.
                about["exception"] = RuntimeError(error.code.name if error.code else str(error))
            else:
                about["response_length"] = sum(array.nbytes for array in answer.values())
