"""What py-spy saw, as microseconds per call."""

from __future__ import annotations

import pytest

from bench.samples import Spot, parse_samples, parse_stacks, shares

SERVING = "thread (31): serving"
SAMPLES = (
    f"{SERVING};run (threading.py:975);Http2Server._serve (hotgraph_server/transport/fast_lane.py:170) 3\n"
    f"{SERVING};f (hotgraph_server/protocols/v2/codec.py:42);notify (threading.py:10) 1\n"
    f"{SERVING};f (hotgraph_server/transport/fast_lane.py:1);epoll_wait (libc.so.6) 50\n"
    "thread (32): executor x;run (threading.py:975) 2\n"
    "thread (32): executor x;take (hotgraph_server/batching/queue.py:7) 90\n"
    "thread (33): MainThread;main (hotgraph_server/commands/cli.py:3);Condition.wait (threading.py:327) 90\n"
)


def source(file: str, line: int) -> str:
    """The only line in which a thread of this server waits."""
    return "self._wake.acquire()" if (file, line) == ("hotgraph_server/batching/queue.py", 7) else "a = b"


def test_sample_belongs_to_the_innermost_line_of_ours() -> None:
    names, seen = parse_samples(SAMPLES, source)
    assert names == {31: "serving", 32: "executor x"}
    assert seen[31, Spot("serving", "hotgraph_server/transport/fast_lane.py", "Http2Server._serve", 170)] == 3
    assert seen[31, Spot("serving", "hotgraph_server/protocols/v2/codec.py", "f", 42)] == 1
    assert seen[32, Spot("executor x", "", "", 0)] == 2
    assert seen.total() == 6


def test_rooms_are_folders_or_modules() -> None:
    assert Spot("t", "hotgraph_server/protocols/v2/codec.py", "f", 1).room == "protocols"
    assert Spot("t", "hotgraph_server/server.py", "f", 1).room == "server"
    assert Spot("t", "", "", 0).room == "none of our code"


def test_each_threads_time_is_shared_out_over_what_it_was_seen_at() -> None:
    _, seen = parse_samples(SAMPLES, source)
    spots, without_python = shares({31: 80.0, 32: 10.0, 33: 5.0}, seen)
    assert without_python == pytest.approx(5.0)
    by_function = {spot.function: us for spot, us in spots}
    assert by_function == pytest.approx({"Http2Server._serve": 60.0, "f": 20.0, "": 10.0})


def test_stacks_keep_the_way_that_led_there_and_forget_lines() -> None:
    stacks = parse_stacks(SAMPLES, source)
    first = ("serving", "run (threading.py)", "Http2Server._serve (hotgraph_server/transport/fast_lane.py)")
    assert stacks[0] == (31, first, 3)
    assert sum(count for _, _, count in stacks) == 6
