"""Many models of one size, calls of them as people ask (few models often, most seldom), and what of a server
tells how it copes: resident memory, its log, its figures.

All models are one SavedModel, whose files lie on the disk once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import threading
import time
import urllib.request
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
from prometheus_client.parser import text_string_to_metric_families as parse

from hotgraph_protos import open_inference as pb

_TABLES = 4
_WIDTH = 64
_INFER = "/inference.GRPCInferenceService/ModelInfer"


def make_models(root: Path, count: int, megabytes: int) -> list[str]:
    """A repository of so many models of `megabytes` MiB of variables each; returns their names.

    `ids` int64 [-1] -> `found` float32 [-1, 4]: the numbers themselves, one from each table.
    """
    names = [f"m{number:03}" for number in range(count)]
    first = root / names[0] / "1"
    first.parent.mkdir(parents=True)
    _save(first, megabytes)
    for name in names[1:]:
        for file in first.rglob("*"):
            if file.is_file():
                there = root / name / "1" / file.relative_to(first)
                there.parent.mkdir(parents=True, exist_ok=True)
                os.link(file, there)
    return names


def _save(folder: Path, megabytes: int) -> None:
    import tensorflow as tf

    rows = megabytes * 2**20 // (_TABLES * _WIDTH * 4)
    one = np.repeat(np.arange(rows, dtype=np.float32)[:, None], _WIDTH, axis=1)
    module = tf.Module()
    module.tables = [tf.Variable(one) for _ in range(_TABLES)]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "ids")])  # type: ignore[untyped-decorator]
    def look_up(ids: Any) -> Any:
        return {"found": tf.stack([tf.gather(table, ids)[:, 0] for table in module.tables], axis=1)}

    tf.saved_model.save(module, str(folder), signatures=look_up)


def zipf(names: Sequence[str], exponent: float, calls: int, seed: int) -> list[str]:
    """Which model each call is for: the one in place k as often as k to the power of minus `exponent`."""
    weights = [(place + 1) ** -exponent for place in range(len(names))]
    return random.Random(seed).choices(names, weights, k=calls)


def ideal_hits(trace: Iterable[str], room: int) -> list[bool]:
    """Which calls would find their model in a cache of `room` models that gives up the one which was called
    longest ago, and in which a load takes no time."""
    there: OrderedDict[str, None] = OrderedDict()
    hits = []
    for name in trace:
        hits.append(name in there)
        there[name] = None
        there.move_to_end(name)
        if len(there) > room:
            there.popitem(last=False)
    return hits


class Called(NamedTuple):
    """A call that has ended.

    Attributes:
        model: that it was for.
        at: when it was to be sent, seconds since the epoch.
        took_s: from then to its end.
        error: its status and text; empty: none.
        wrong: it was answered, and not with what is right.
    """

    model: str
    at: float
    took_s: float
    error: str
    wrong: bool


def call(address: str, trace: Sequence[str], rate: float, timeout_s: float = 60.0) -> list[Called]:
    """Send these calls at a steady rate, whatever becomes of the ones before."""
    return asyncio.run(_call(address, trace, rate, timeout_s))


async def _call(address: str, trace: Sequence[str], rate: float, timeout_s: float) -> list[Called]:
    async with grpc.aio.insecure_channel(address) as channel:
        infer: Any = channel.unary_unary(_INFER, response_deserializer=pb.ModelInferResponse.FromString)
        await channel.channel_ready()
        began, epoch = time.monotonic(), time.time()

        async def one(number: int, model: str) -> Called:
            ids = np.array([number % 1000, 7], np.int64)
            due = began + number / rate
            await asyncio.sleep(due - time.monotonic())
            error, wrong = "", False
            try:
                answer = await infer(_request(model, ids), timeout=timeout_s)
                found = np.frombuffer(answer.raw_output_contents[0], np.float32).reshape(-1, _TABLES)
                wrong = not np.array_equal(found, np.repeat(ids[:, None], _TABLES, axis=1))
            except grpc.RpcError as failure:
                error = f"{failure.code().name}: {failure.details()}"
            return Called(model, epoch + due - began, time.monotonic() - due, error, wrong)

        return await asyncio.gather(*itertools.starmap(one, enumerate(trace)))


def _request(model: str, ids: np.ndarray[Any, Any]) -> bytes:
    request = pb.ModelInferRequest(model_name=model)
    request.inputs.add(name="ids", datatype="INT64", shape=[len(ids)])
    request.raw_input_contents.append(ids.tobytes())
    return bytes(request.SerializeToString())


def figures(admin: str) -> dict[tuple[str, ...], float]:
    """What a server's /metrics says, by name and the values of labels in their order."""
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=60) as page:
        text = page.read().decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@dataclass
class Resident:
    """Resident memory of a process, looked at again and again.

    Attributes:
        most: bytes, since it is watched.
        values: all of them.
    """

    values: list[int] = field(default_factory=list)

    @property
    def most(self) -> int:
        return max(self.values)


@contextmanager
def watched(pid: int) -> Iterator[Resident]:
    """``with watched(pid) as resident:``, twenty times a second."""
    found, over = Resident([resident_bytes(pid)]), threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            found.values.append(resident_bytes(pid))

    thread = threading.Thread(target=look, name="resident memory")
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def resident_bytes(pid: int) -> int:
    """Now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def lives(lines: Iterable[str]) -> Mapping[str, list[tuple[float, float]]]:
    """When each model was live, as a log in JSON tells: from, and to, seconds since the epoch."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        if not line.startswith("{"):
            continue
        record = json.loads(line)
        message = record.get("message", "")
        if not message.startswith("model '"):
            continue
        name, at = message.split("'")[1], datetime.fromisoformat(record["time"]).timestamp()
        if " is live on " in message:
            found.setdefault(name, []).append((at, float("inf")))
        elif message.endswith(" is closed") and found.get(name):
            found[name][-1] = found[name][-1][0], at
    return found


def found_live(calls: Iterable[Called], when: Mapping[str, list[tuple[float, float]]]) -> list[Called]:
    """Those that were sent while their model was live."""
    return [one for one in calls if any(begins <= one.at < ends for begins, ends in when.get(one.model, ()))]


def quantile_s(calls: Sequence[Called], share: float) -> float:
    """Of the time that calls took."""
    return float(np.quantile([one.took_s for one in calls], share))
