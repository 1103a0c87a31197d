"""The small figures that comments in the code cite. Started by scripts/bench/micro."""

from __future__ import annotations

import argparse
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from bench import report
from bench.figures import Spread
from bench.timing import compare

Actions = Mapping[str, Callable[[], object]]

_ALIGNMENT = 64
_LARGE_BYTES = 38_000_000
_ON_POOL, _IN_CALLER = 0, -1

DESCRIPTION = """\
Time the small things that decisions in the code rest on, so that a figure in a comment can be checked on any
machine. What is compared takes turns; shown is the time of one go: the median over the rounds, the least and
the greatest. Read the ratios: another machine has other figures."""

EPILOG = """\
examples:
  scripts/bench/micro                        all of it (a minute)
  scripts/bench/micro feed run               these two
  scripts/bench/micro --rounds 15            more certain"""


@dataclass(frozen=True)
class Measure:
    """Something to compare.

    Attributes:
        cited: the module, below server/hotgraph_server, whose comment or docstring has the figure.
        prepare: gives what is compared, and clears it away afterwards.
    """

    name: str
    about: str
    cited: str
    prepare: Callable[[], Any]


@dataclass(frozen=True)
class _Call:
    """What `join` and `cut` look at in a call."""

    inputs: tuple[Any, ...]
    outputs: tuple[str, ...]
    rows: int


@contextmanager
def _feed() -> Iterator[Actions]:
    import tensorflow as tf

    memory = np.zeros(_LARGE_BYTES + 2 * _ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % _ALIGNMENT

    def array(offset: int) -> Any:
        return memory[start + offset : start + offset + _LARGE_BYTES].view(np.float32)

    with _session(lambda: tf.compat.v1.placeholder(tf.float32, [None], "x"), lambda x: x[:1]) as make:
        run = make(_IN_CALLER)
        aligned, not_aligned = array(0), array(_ALIGNMENT // 4)
        yield {
            "38 MB that begin at a multiple of 64": lambda: run(aligned),
            "38 MB that begin at a multiple of 16": lambda: run(not_aligned),
        }


@contextmanager
def _run() -> Iterator[Actions]:
    import tensorflow as tf

    weights = np.ones([784, 10], np.float32)
    rows = np.ones([1, 784], np.float32)
    specification = tf.TensorSpec([None, 784], tf.float32)
    function = tf.function(lambda x: tf.nn.softmax(x @ weights), input_signature=[specification])
    with _session(
        lambda: tf.compat.v1.placeholder(tf.float32, [None, 784], "x"), lambda x: tf.nn.softmax(x @ weights)
    ) as make:
        in_caller, on_pool, session = make(_IN_CALLER), make(_ON_POOL), make.session
        yield {
            "callable in the caller's thread": lambda: in_caller(rows),
            "callable on TensorFlow's pool": lambda: on_pool(rows),
            "Session.run": lambda: session.run("y:0", {"x:0": rows}),
            "tf.function, answer as numpy": lambda: function(rows).numpy(),
        }


@contextmanager
def _denormals() -> Iterator[Actions]:
    import tensorflow as tf

    from hotgraph_server.execution.denormals import flush_to_zero

    def build(x: Any) -> Any:
        for _ in range(20):
            x = tf.nn.relu(x * 0.9) * 0.9 + tf.abs(x) * 0.01
        return x @ np.full([512, 512], 1e-3, np.float32)

    ones, tiny = np.ones([64, 512], np.float32), np.full([64, 512], 1e-39, np.float32)
    with (
        ThreadPoolExecutor(1) as flushing,
        ThreadPoolExecutor(1) as computing,
        _session(lambda: tf.compat.v1.placeholder(tf.float32, [None, 512], "x"), build) as make,
    ):
        run = make(_IN_CALLER)
        assert flushing.submit(flush_to_zero).result()
        yield {
            "64 x 512 floats of 1": lambda: flushing.submit(run, ones).result(),
            "of 1e-39, taken for zero": lambda: flushing.submit(run, tiny).result(),
            "of 1e-39, computed with": lambda: computing.submit(run, tiny).result(),
        }


@contextmanager
def _prepare() -> Iterator[Actions]:
    import tensorflow as tf

    rows = np.ones([1, 64], np.float32)

    def build(x: Any) -> Any:
        for _ in range(20):
            x = tf.nn.relu(x @ np.ones([64, 64], np.float32) + 1.0)
        return x

    with _session(lambda: tf.compat.v1.placeholder(tf.float32, [None, 64], "x"), build) as make:
        ready = make(_IN_CALLER)
        # A callable is prepared in its first run.
        yield {
            "a run of 20 small layers": lambda: ready(rows),
            "the same, with a new callable": lambda: make(_IN_CALLER)(rows),
        }


@contextmanager
def _join() -> Iterator[Actions]:
    from hotgraph_server.batching.joining import cut, join

    small = [_Call((np.ones([1, 784], np.float32),), ("y",), 1) for _ in range(32)]
    images = [_Call((np.ones([1, 224, 224, 3], np.float32),), ("y",), 1) for _ in range(32)]
    calls, large = cast("list[Any]", small), cast("list[Any]", images)
    answer = [np.ones([32, 10], np.float32)]

    def cut_in_a_loop() -> list[Any]:
        parts, start = [], 0
        for call in small:
            parts.append([output[start : start + call.rows] for output in answer])
            start += call.rows
        return parts

    yield {
        "join 32 rows of 784 floats": lambda: join(calls),
        "cut 32 rows of 10 floats": lambda: cut(calls, answer),
        "cut them in a loop": cut_in_a_loop,
        "join 32 images (19 MB)": lambda: join(large),
    }


@contextmanager
def _statistics() -> Iterator[Actions]:
    from hotgraph_server.statistics import Statistics

    statistics = Statistics()
    one, many = [1.0], [1.0 + place / 1000 for place in range(64)]
    yield {
        "note a run of 1 call": lambda: statistics.add_run("s", one, 1, 2.0, 2.1),
        "note a run of 64 calls": lambda: statistics.add_run("s", many, 64, 2.0, 2.1),
    }


@contextmanager
def _wake() -> Iterator[Actions]:
    there: queue.SimpleQueue[bool] = queue.SimpleQueue()
    back: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def echo() -> None:
        while there.get():
            back.put(True)

    thread = threading.Thread(target=echo, name="echo")
    thread.start()

    def both_ways() -> None:
        there.put(True)
        back.get()

    def alone() -> None:
        back.put(True)
        back.get()

    yield {"hand something to a thread and get it back": both_ways, "the same without the thread": alone}
    there.put(False)
    thread.join()


class _Maker:
    """Makes callables from `x` to `y` in a session of its own."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def __call__(self, inter_op_pool: int) -> Callable[[Any], Any]:
        from tensorflow.core.protobuf import config_pb2

        options = config_pb2.CallableOptions(feed=["x:0"], fetch=["y:0"])
        options.run_options.inter_op_thread_pool = inter_op_pool
        made: Callable[[Any], Any] = self.session._make_callable_from_options(options)
        return made


@contextmanager
def _session(make_x: Callable[[], Any], compute: Callable[[Any], Any]) -> Iterator[_Maker]:
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.identity(compute(make_x()), name="y")
    # As a context it would make its graph the one that everything belongs to.
    with closing(tf.compat.v1.Session(graph=graph)) as session:
        yield _Maker(session)


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("feed", "what an array's first address costs", "batching/joining.py", _feed),
        Measure("run", "ways to run a 784x10 softmax at one row", "graph/callables.py", _run),
        Measure("denormals", "what floats that are all but zero cost a run", "denormals.py", _denormals),
        Measure("prepare", "what a new callable costs", "graph/callables.py", _prepare),
        Measure("join", "joining calls and cutting answers", "batching/joining.py, runner.py", _join),
        Measure("statistics", "what counting costs a run", "statistics.py", _statistics),
        Measure("wake", "what another thread costs", "runner.py", _wake),
    )
}


def main() -> int:
    """Measure as the command line says; returns the exit status."""
    names = "\n".join(f"  {each.name:12} {each.about} (cited in {each.cited})" for each in MEASURES.values())
    parser = argparse.ArgumentParser(
        prog="scripts/bench/micro",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=f"measures:\n{names}\n\n{EPILOG}",
    )
    add = parser.add_argument
    add("measures", nargs="*", metavar="NAME", help="what to time (default: all)")
    add("--rounds", type=int, default=7, metavar="N", help="turns of each (default: 7)")
    add("--seconds", type=float, default=0.2, metavar="S", help="of each turn (default: 0.2)")
    given = parser.parse_args()
    if not set(given.measures) <= set(MEASURES):
        parser.error(f"there are {', '.join(MEASURES)}")
    if given.rounds < 1 or given.seconds <= 0:
        parser.error("--rounds and --seconds must be above 0")
    for name in given.measures or MEASURES:
        measure = MEASURES[name]
        print(f"timing {measure.about}", file=sys.stderr, flush=True)
        with measure.prepare() as actions:
            found = compare(actions, rounds=given.rounds, seconds=given.seconds)
        print(f"## {measure.about}\n\n{_table(found)}\n\nCited in {measure.cited}.\n")
    return 0


def _table(found: Mapping[str, Spread]) -> str:
    first = next(iter(found.values()))
    rows: list[list[str]] = []
    for name, took in found.items():
        figures = [value * 1e6 for value in (took.median, took.least, took.greatest)]
        rows.append([name, *map(report.number, [*figures, took.median / first.median])])
    return report.table(["", "us", "least", "greatest", "in units of the first"], rows)


if __name__ == "__main__":
    sys.exit(main())
