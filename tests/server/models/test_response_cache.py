"""Answers that are kept: which, for whom, how many; and that a hit is the answer and nothing else."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import Cancelled, QueueFull, RunFailed
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.response_cache import ResponseCache, VersionCache, why_not_kept
from hotgraph_server.models.version import Version
from hotgraph_server.settings import BatchSettings, ModelSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Statistics
from hotgraph_server.tensors import STRING

from ..fakes import HANG_S, Caller, FakeClock, FakeGraph, call, rows, signature

MIB = 1 << 20


# What is kept


def test_answers_of_what_writes_or_varies_are_not_kept_nor_any_beside_a_writer() -> None:
    reads, writes, varies = signature("reads"), signature("writes", writes=True), random("varies")
    alone = {one.name: why_not_kept(one, {one.name: one}) for one in (reads, writes, varies)}
    assert alone["reads"] is None
    assert "changes state" in str(alone["writes"])
    assert "random" in str(alone["varies"])
    together = {"reads": reads, "writes": writes}
    assert why_not_kept(reads, together) == "signature 'writes' changes state that it may read"
    assert why_not_kept(reads, {"reads": reads, "varies": varies}) is None


def random(name: str) -> Signature:
    one = signature(name)
    return Signature(name, one.inputs, one.outputs, varies=True)


class Kept:
    """A cache that is running, and the answers of one version in it."""

    def __init__(self, limit: int = MIB) -> None:
        self.clock = FakeClock()
        self.cache = ResponseCache(limit, self.clock)
        self.cache.start()
        self.statistics = Statistics()
        self.answers = self.of()

    def of(self, title: str = "model 'm' version 1", *signatures: Signature) -> VersionCache:
        known = {one.name: one for one in signatures or (signature(),)}
        return self.cache.answers_of(title, known, self.statistics)

    def settle(self) -> None:
        """Wait until all that was to be kept is."""
        self.cache.stop()
        self.cache.start()

    def ask(self, value: float, answers: VersionCache | None = None, size: int = 1) -> Asked:
        return Asked(answers or self.answers, value, size)

    @property
    def totals(self) -> tuple[int, int]:
        found = self.statistics.snapshot()
        return found.cache_hit.count, found.cache_miss.count


class Asked(Caller):
    """A call that was looked for in the cache."""

    def __init__(self, answers: VersionCache, value: float, size: int) -> None:
        super().__init__()
        self._size = size
        self.call: Call = call(np.full((size, 2), value, np.float32), completion=self.completion)
        found = answers.look_up(self.call.signature, self.call.outputs, self.call.inputs)
        self.hit = found.answer is not None
        if found.answer is not None:
            self.call.completion.finish(found.answer)
        elif found.key is not None:
            name = self.call.signature.name
            self.call.completion = answers.keeping(self.call.completion, name, found.key)

    def run(self) -> None:
        """What the executor does: a row of the batch's answer."""
        whole = np.concatenate([self.call.inputs[0] * 2, rows(666)])
        self.call.completion.finish([whole[: self._size]])


@pytest.fixture
def kept() -> Iterator[Kept]:
    one = Kept()
    yield one
    one.cache.stop()


def test_a_call_that_was_answered_before_is_answered_at_once_in_its_own_thread(kept: Kept) -> None:
    first = kept.ask(1)
    assert not first.hit
    first.run()
    np.testing.assert_array_equal(first.answer()[0], rows(2))
    kept.settle()
    second = kept.ask(1)
    assert second.hit
    assert second.thread == threading.get_ident()
    np.testing.assert_array_equal(second.answer()[0], rows(2))
    assert not kept.ask(3).hit
    assert kept.totals == (1, 2)


def test_calls_that_ask_the_same_at_once_are_all_run_and_one_answer_is_kept(kept: Kept) -> None:
    first, second = kept.ask(1), kept.ask(1)
    assert [first.hit, second.hit] == [False, False]
    second.run()
    kept.settle()
    assert kept.ask(1).hit
    first.run()
    np.testing.assert_array_equal(first.answer()[0], rows(2))
    kept.settle()
    assert len(kept.cache) == 1


def test_what_is_kept_is_a_copy_that_nobody_can_change(kept: Kept) -> None:
    class Watched(np.ndarray):
        """An array that can be watched; plain ones cannot."""

    whole = np.zeros((64, 2), np.float32).view(Watched)
    gone = weakref.ref(whole)
    one = kept.ask(1)
    one.call.completion.finish([whole[:1]])
    one.outcomes.clear()
    kept.settle()
    del whole
    gc.collect()
    assert gone() is None, "one row keeps the memory of its whole batch"
    answer = kept.ask(1).answer()[0]
    assert type(answer) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        answer[0] = 1


def test_errors_are_not_kept(kept: Kept) -> None:
    for error in (RunFailed(3, "no"), Cancelled(), QueueFull("q", 1, 1)):
        one = kept.ask(1)
        assert not one.hit
        one.call.completion.finish(error)
        assert one.error() is error
    kept.settle()
    assert len(kept.cache) == 0


def test_a_caller_who_leaves_a_miss_ends_it_once_and_nothing_is_kept(kept: Kept) -> None:
    one = kept.ask(1)
    assert one.call.completion.finish(Cancelled())
    assert one.call.completion.taken
    one.run()
    assert isinstance(one.error(), Cancelled)
    kept.settle()
    assert len(kept.cache) == 0


def test_signatures_that_must_not_be_kept_are_left_alone(kept: Kept) -> None:
    answers = kept.of("m", random("serving_default"))
    one = kept.ask(1, answers)
    assert not one.hit
    assert one.call.completion is one.completion
    assert kept.totals == (0, 0)


def test_two_loadings_of_one_version_share_nothing(kept: Kept) -> None:
    kept.ask(1).run()
    kept.settle()
    again = kept.of()
    assert not kept.ask(1, again).hit
    assert kept.ask(1).hit


def test_what_was_asked_for_least_recently_makes_room() -> None:
    kept = Kept(limit=4 * 800)
    for value in (1, 2, 3, 4):
        kept.ask(value).run()
        kept.settle()
    size = kept.cache.nbytes // 4
    assert 600 < size <= 800
    assert kept.ask(1).hit
    kept.ask(5).run()
    kept.settle()
    assert [kept.ask(value).hit for value in (1, 2, 3, 4, 5)] == [True, False, True, True, True]
    assert kept.cache.nbytes <= 4 * 800
    kept.cache.stop()


def test_an_answer_larger_than_the_whole_cache_is_not_kept_and_throws_nothing_out() -> None:
    kept = Kept(limit=8192)
    kept.ask(1).run()
    kept.ask(2, size=2000).run()
    kept.settle()
    assert kept.ask(1).hit
    assert len(kept.cache) == 1
    kept.cache.stop()


@given(sizes=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 400)), max_size=40))
def test_never_more_is_kept_than_the_limit_and_the_books_are_right(sizes: list[tuple[int, int]]) -> None:
    kept = Kept(limit=8192)
    try:
        for value, size in sizes:
            one = kept.ask(value, size=size)
            if not one.hit:
                one.run()
            answer = one.answer()[0]
            np.testing.assert_array_equal(answer, np.full((size, 2), value * 2, np.float32))
            kept.settle()
            assert kept.cache.nbytes <= 8192
            assert kept.cache.nbytes == sum(entry.nbytes for entry in kept.cache._entries.values())
            assert set(kept.answers.keys) == set(kept.cache._entries)
        kept.answers.forget()
        assert len(kept.cache) == kept.cache.nbytes == 0
    finally:
        kept.cache.stop()


def test_strings_count_with_their_bytes(kept: Kept) -> None:
    one = kept.ask(1)
    one.call.completion.finish([np.array([b"x" * 10_000, b"", b"y" * 20_000], STRING)])
    kept.settle()
    assert 30_000 < kept.cache.nbytes < 32_000
    assert kept.ask(1).answer()[0].tolist() == [b"x" * 10_000, b"", b"y" * 20_000]


def test_a_version_that_closes_takes_its_answers_with_it_and_leaves_none_behind(kept: Kept) -> None:
    other = kept.of("model 'other' version 1")
    late = kept.ask(9)
    for value in range(20):
        kept.ask(value).run()
        kept.ask(value, other).run()
    kept.settle()
    before = kept.cache.nbytes
    kept.answers.forget()
    assert len(kept.cache) == 20
    assert kept.cache.nbytes == before // 2
    late.run()
    kept.settle()
    assert len(kept.cache) == 20
    assert kept.ask(3, other).hit


def test_a_flood_of_answers_waits_within_the_limit_and_the_rest_is_not_kept() -> None:
    kept = Kept(limit=100_000)
    kept.cache.stop()  # no thread copies
    for value in range(200):
        kept.ask(value, size=100).run()
    assert 40_000 <= kept.cache.nbytes_waiting <= 100_000
    kept.cache.start()
    kept.cache.stop()
    assert kept.cache.nbytes_waiting == 0
    assert 50 <= len(kept.cache) < 100_000 / 800


# In a version


def submit(version: Version, value: float) -> Caller:
    caller = Caller()
    version.submit(Request(version.signatures["serving_default"], [rows(value)], ("y",), caller.completion))
    return caller


def test_a_hit_does_not_reach_the_queue_nor_the_graph_even_when_both_are_held() -> None:
    graph, cache = FakeGraph(), ResponseCache(MIB)
    cache.start()
    settings = ModelSettings("m", Path("unused"), BatchSettings(max_queued_calls=1))
    version = open_version(settings, 1, graph.open, cache_of=lambda _: cache)
    graph.runs.clear()
    # The executor comes to the second when it is done with the first, and has handed its answer over.
    submit(version, 1).answer()
    submit(version, 2).answer()
    cache.stop()
    graph.shut()
    held = submit(version, 3)
    graph.wait_until_held()
    waits = submit(version, 4)
    with pytest.raises(QueueFull):
        submit(version, 5)
    np.testing.assert_array_equal(submit(version, 1).answer()[0], rows(2))
    assert len(graph.runs) == 3
    graph.let_all_go()
    for caller, value in ((held, 6), (waits, 8)):
        np.testing.assert_array_equal(caller.answer()[0], rows(value))
    assert version.statistics.snapshot().cache_hit.count == 1
    assert version.stop(HANG_S)
    assert len(cache) == 0, "a version that has stopped keeps nothing"


def test_a_version_that_keeps_nothing_has_no_cache_to_ask() -> None:
    graph = FakeGraph()
    version = open_version(ModelSettings("m", Path("unused")), 1, graph.open)
    one = version.signatures["serving_default"]
    for _ in range(2):
        caller = Caller()
        made = version.submit(Request(one, [rows(1)], ("y",), caller.completion))
        assert isinstance(made, Call)
        assert made.completion is caller.completion
        caller.answer()
    assert version.statistics.snapshot().cache_miss.count == 0
    assert version.stop(HANG_S)
