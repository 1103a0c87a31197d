from __future__ import annotations

from collections.abc import Callable, Sequence

import ml_dtypes
import numpy as np
import pytest

from hotgraph_server.errors import RunFailed
from hotgraph_server.row_independence.verdict import Judgement, OutputJudgement, Verdict
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.adversarial import adversarial_rows
from hotgraph_server.warmup.batch_safety import (
    ROWS,
    Rows,
    rows_influence_each_other,
    why_not_joined,
)
from hotgraph_server.warmup.batching_rules import is_proven
from hotgraph_server.warmup.climbing import climb
from hotgraph_server.warmup.probing import BoundedRuns, Cost, Limits, Measured
from hotgraph_server.warmup.row_comparison import NoEvidence, Run
from hotgraph_server.warmup.synthetic_inputs import Kind, generate

from ..fakes import FakeClock, signature
from ..probed import bounded, kind_of

Compute = Callable[[Array], Array]


def tried(one: Signature, run: Run, samples: Sequence[Sequence[Array]] = ()) -> str | None:
    """With generated rows, and what is given; not with odd ones."""
    return rows_influence_each_other(one, bounded(run), Rows(samples, kind_of(one, run)))


def tried_hard(
    one: Signature, run: Run, most: int = 16, samples: Sequence[Sequence[Array]] = ()
) -> str | None:
    """With odd rows as well."""
    kind = kind_of(one, run)
    assert isinstance(kind, Kind)
    lone = climb(adversarial_rows(one, kind), bounded(run), Cost(0.001, 0), 1 / 8)
    with np.errstate(all="ignore"):
        return rows_influence_each_other(one, bounded(run), Rows(samples, kind, lone, most))


def joined(one: Signature, run: Run, batching: str = "tried") -> str | None:
    return why_not_joined(one, bounded(run), batching, Rows(kind=kind_of(one, run)))


def verdict(compute: Compute, one: Signature | None = None) -> str | None:
    return tried(one or signature(), lambda inputs: [compute(inputs[0])])


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x * 2,
        lambda x: x.sum(axis=1),
        lambda x: x * (1 + 1e-6 * len(x)),  # kernels for many rows round otherwise
        lambda x: np.stack([x[:, 0], np.full(len(x), np.nan)], 1),
        lambda x: np.array([b"%d" % round(row.sum() * 9) for row in x], object),
    ],
    ids=["double", "sum of a row", "rounding", "nan", "strings"],
)
def test_rows_that_answer_alike_together_and_alone_may_be_joined(compute: Compute) -> None:
    assert verdict(compute) is None


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: np.full_like(x, np.nan),
        lambda x: np.array([b"yes"] * len(x), object),
        lambda x: x[:, :0],
    ],
    ids=["nan", "one string", "empty"],
)
def test_answers_that_are_empty_or_always_the_same_are_no_evidence(compute: Compute) -> None:
    reason = verdict(compute)
    assert isinstance(reason, NoEvidence)
    assert "its outputs are empty, or the same for all rows" in reason


def test_rows_that_only_influence_their_equals_are_found() -> None:
    def how_often(x: Array) -> Array:
        return np.array([[(row == x).all(axis=1).sum(), row[0]] for row in x], np.float32)

    assert "changes with its neighbours" in (verdict(how_often) or "")


def test_random_answers_are_not_said_to_be_the_neighbours_doing() -> None:
    random = np.random.default_rng(1)
    reason = verdict(lambda x: x * random.standard_normal(x.shape)) or ""
    assert "differs from run to run for the same row, alone too" in reason


PROVEN = Judgement(Verdict.PROVEN, {"y": OutputJudgement(Verdict.PROVEN)}, "")


def test_what_is_proven_needs_no_evidence_and_is_held_to_what_the_trial_finds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuses(_: Sequence[Array]) -> Sequence[Array]:
        raise RunFailed(3, "not that")

    rows = Rows(kind=Kind(8, 1000))
    assert why_not_joined(signature(), bounded(refuses), "tried", rows, PROVEN) is None
    assert not caplog.records
    rolled = bounded(lambda x: [np.roll(x[0], 1, 0)])
    reason = why_not_joined(signature(), rolled, "tried", rows, PROVEN)
    assert "changes with its neighbours" in (reason or "")
    assert "by proof, and yet" in caplog.text


def test_proof_of_other_outputs_than_the_shapes_say_is_none() -> None:
    """An output would be cut by its shape."""
    whole = Judgement(Verdict.PROVEN, {"y": OutputJudgement(Verdict.PROVEN, has_rows=False)}, "")
    assert not is_proven(signature(), whole)
    assert is_proven(signature(outputs={"y": ()}), whole)
    ones = bounded(lambda x: [np.ones(())])
    assert why_not_joined(signature(outputs={"y": ()}), ones, "tried", Rows(), whole) is None


def test_neighbours_that_shift_small_probabilities_are_found() -> None:
    """Over many classes every probability is far below any fixed tolerance."""

    def softmax_of_norm(x: Array) -> Array:
        logits = np.repeat(x - x.mean(axis=0), 25_000, axis=1)
        exponentials: Array = np.exp(logits)
        probabilities: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    assert verdict(softmax_of_norm) is not None


def test_width_that_the_greatest_id_decides_is_found() -> None:
    def bag(ids: Array) -> Array:
        return np.stack([np.bincount(row, minlength=ids.max() + 1) for row in ids])

    ids = Signature(
        "s",
        (TensorSpec("ids", "i:0", np.dtype(np.int32), (None, None)),),
        (TensorSpec("counts", "c:0", np.dtype(np.int64), (None, None)),),
    )
    reason = tried(ids, lambda inputs: [bag(inputs[0])])
    assert reason is not None
    assert "depends on the neighbours" in reason


def test_widest_integers_that_the_graph_takes_are_tried() -> None:
    seen: list[int] = []

    def vocabulary_of_50(inputs: Sequence[Array]) -> list[Array]:
        if inputs[0].max() >= 50:
            raise RunFailed(3, "no such id")
        seen.append(int(inputs[0].max()))
        return [inputs[0]]

    one = signature(dtype=np.dtype(np.int32))
    assert tried(one, vocabulary_of_50) is None
    assert max(seen) > 2


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x - x.mean(axis=0),
        lambda x: x + len(x),
        lambda x: x[::-1],
        lambda x: np.cumsum(x, axis=0),
        lambda x: np.array([b"%d" % len(x)] * len(x), object),
    ],
    ids=["batch-norm", "size of the batch", "other order", "sum over rows", "strings"],
)
def test_row_that_changes_with_its_neighbours_is_found(compute: Compute) -> None:
    assert "changes with its neighbours" in (verdict(compute) or "")


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x.sum(),
        lambda x: np.ones((ROWS, 2), np.float32),  # as many rows as are tried, by chance
        lambda x: np.ones((1, 2), np.float32),
        lambda x: np.concatenate([x, x]),
    ],
    ids=["scalar", "square", "one row", "two for one"],
)
def test_output_without_the_rows_that_go_in_is_found(compute: Compute) -> None:
    assert "does not have the rows" in (verdict(compute) or "")


def test_output_padded_to_the_longest_neighbour_is_found() -> None:
    def padded(x: Array) -> Array:
        return np.zeros((len(x), int(np.ceil(np.abs(x).max() * 10))), np.float32)

    assert "shape of output 'y' depends" in (verdict(padded) or "")


def test_graph_that_refuses_every_generated_input_is_not_joined_and_says_why() -> None:
    def refuse(_: Array) -> Array:
        raise RunFailed(3, "no tf.Example\nat node 7")

    reason = verdict(refuse) or ""
    assert "no tf.Example" in reason
    assert "node 7" not in reason


def test_first_size_of_free_dimensions_that_runs_is_the_one_that_counts() -> None:
    """A graph that pools fails on small images; what it does with larger ones decides."""
    tried: list[int] = []

    def pool(x: Array) -> Array:
        tried.append(x.shape[1])
        if x.shape[1] < 32:
            raise RunFailed(3, "too small")
        pooled: Array = np.mean(x, axis=1)
        return pooled

    assert verdict(pool, signature(inputs={"x": (None, None)}, outputs={"y": (None,)})) is None
    assert set(tried) == {8, 32}


def test_unexpected_error_of_a_run_is_not_swallowed() -> None:
    def broken(_: Array) -> Array:
        raise MemoryError

    with pytest.raises(MemoryError):
        verdict(broken)


def test_one_pair_of_rows_alike_hides_nothing() -> None:
    """The rows that are tried differ, or an answer that mixes them could not be told from a right one."""
    inputs = generate(signature(), ROWS, Kind(8, 1000))
    assert len({row.tobytes() for row in inputs[0]}) == ROWS


ALL_DTYPES = [
    *(np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.complex64, np.complex128, np.object_),
]


@pytest.mark.parametrize("kind", ALL_DTYPES, ids=lambda kind: np.dtype(kind).name)
def test_every_dtype_can_be_generated_and_compared(kind: type) -> None:
    dtype = np.dtype(kind)
    one = signature(dtype=dtype)

    def echo(inputs: Sequence[Array]) -> list[Array]:
        assert (inputs[0].dtype, inputs[0].shape[1:]) == (dtype, (2,))
        return [inputs[0]]

    def mix(inputs: Sequence[Array]) -> list[Array]:
        return [np.roll(inputs[0], 1, axis=0)]

    assert tried(one, echo) is None
    assert tried(one, mix) is not None


def test_half_floats_may_differ_by_their_own_rounding_and_no_more() -> None:
    for dtype, rounding in ((np.dtype(np.float16), 2**-11), (np.dtype(ml_dtypes.bfloat16), 2**-8)):
        one = signature(dtype=dtype)

        def scaled(inputs: Sequence[Array], by: float, dtype: np.dtype[np.generic] = dtype) -> list[Array]:
            factor = by if len(inputs[0]) > 1 else 1.0
            return [(inputs[0].astype(np.float32) * factor).astype(dtype)]

        assert tried(one, lambda x, r=rounding: scaled(x, 1 + r)) is None  # type: ignore[misc]
        assert tried(one, lambda x: scaled(x, 1.5)) is not None


# Texts, scalars, outputs without rows, data that the model brings, and the owner's word.


TEXTS = signature(inputs={"text": (None,)}, outputs={"y": (None,)}, dtype=STRING)
SCALED = Signature(
    "scaled",
    (
        TensorSpec("x", "x", np.dtype(np.float32), (None, 2)),
        TensorSpec("training", "t", np.dtype(np.bool_), ()),
    ),
    (TensorSpec("y", "y", np.dtype(np.float32), (None, 2)),),
)
COUNTED = signature(outputs={"y": (None, 2), "count": ()})


def test_texts_that_answer_alike_may_be_joined() -> None:
    assert verdict(lambda text: np.array([one.upper() for one in text], object), TEXTS) is None


def test_texts_padded_to_the_longest_inside_the_graph_are_found() -> None:
    def mean_code(text: Array) -> Array:
        longest = max(map(len, text))
        return np.array([sum(one) / longest for one in text], np.float32)

    assert "changes with its neighbours" in (verdict(mean_code, TEXTS) or "")


def test_graph_that_takes_only_numerals_is_tried_with_them() -> None:
    def parsed(inputs: Sequence[Array]) -> list[Array]:
        try:
            return [np.array([float(one) for one in inputs[0]])]
        except ValueError as error:
            raise RunFailed(3, str(error)) from error

    assert tried(TEXTS, parsed) is None


def test_switch_that_lets_rows_influence_each_other_is_found_whichever_way_it_stands() -> None:
    for position in (False, True):

        def normed(inputs: Sequence[Array], position: bool = position) -> list[Array]:
            x, training = inputs
            return [x - x.mean(axis=0) if training == position else x]

        assert "changes with its neighbours" in (tried(SCALED, normed) or "")
    assert tried(SCALED, lambda inputs: [inputs[0] * (1 + inputs[1])]) is None


def test_position_of_a_switch_that_the_graph_refuses_says_nothing() -> None:
    def inference_only(inputs: Sequence[Array]) -> list[Array]:
        if inputs[1]:
            raise RunFailed(3, "not in training")
        return [inputs[0]]

    def training_only(inputs: Sequence[Array]) -> list[Array]:
        if not inputs[1]:
            raise RunFailed(3, "not in inference")
        return [inputs[0]]

    results = [tried(SCALED, run) for run in (inference_only, training_only)]
    # What is drawn first stands one of the two ways; where the graph takes that, it is judged.
    assert None in results


def counted(inputs: Sequence[Array]) -> list[Array]:
    return [inputs[0] * 2, np.array(len(inputs[0]))]


def constant(inputs: Sequence[Array]) -> list[Array]:
    return [inputs[0] * 2, np.array(7)]


def test_output_without_rows_is_joined_only_if_its_owner_says_so_and_it_is_everybodys() -> None:
    assert "output 'count' has no free dimension 0" in (joined(COUNTED, constant) or "")
    assert joined(COUNTED, constant, "always") is None
    reason = joined(COUNTED, counted, "always")
    assert reason is not None
    assert "was not shown to be everybody's: output 'count' has no rows and changes with them" in reason


def test_owner_who_says_always_overrules_the_trial_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def mixed(inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] - inputs[0].mean(axis=0)]

    assert "neighbours" in (joined(signature(), mixed) or "")
    assert not caplog.records
    assert joined(signature(), mixed, "always") is None
    assert "share batches by setting, though output 'y'" in caplog.text


def test_owner_who_says_never_spares_the_trial() -> None:
    def never_run(_: Sequence[Array]) -> Sequence[Array]:
        raise AssertionError("it is run")

    assert why_not_joined(signature(), bounded(never_run), "never") is not None
    assert why_not_joined(signature(writes=True), bounded(never_run), "always") is not None


def test_data_that_the_model_brings_finds_what_generated_rows_do_not() -> None:
    def on_large_values(inputs: Sequence[Array]) -> list[Array]:
        x = inputs[0]
        return [x - x.mean(axis=0) if x.max() > 1000 else x]

    assert tried(signature(), on_large_values) is None
    samples = [[np.full((1, 2), value, np.float32)] for value in (2000, 3000)]
    reason = tried(signature(), on_large_values, samples)
    assert reason == "output 'y' of a row changes with its neighbours"


def test_data_that_the_model_brings_is_enough_where_the_graph_refuses_all_that_is_generated() -> None:
    def large_only(inputs: Sequence[Array]) -> list[Array]:
        if inputs[0].min() < 100:
            raise RunFailed(3, "too small")
        return [inputs[0]]

    assert tried(signature(), large_only) is not None
    # Two rows in one set are as good as two sets.
    assert tried(signature(), large_only, [[np.array([[200, 300], [500, 600]])]]) is None
    # A single row has no neighbour.
    assert tried(signature(), large_only, [[np.array([[200, 300]])]]) is not None


def test_rows_of_other_shapes_are_not_tried_together() -> None:
    free = signature(inputs={"x": (None, None)}, outputs={"y": (None,)})

    def total(inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0].sum(axis=1)]

    samples = [[np.ones((1, size), np.float32)] for size in (3, 5, 3)]
    assert tried(free, total, samples) is None


# Odd rows.


@pytest.mark.parametrize(
    "is_special",
    [
        lambda x: x.max() > 1000,
        lambda x: x.max() > 1e20,
        lambda x: x.min() < -1e4,
        lambda x: np.isnan(x).any(),
        lambda x: np.isinf(x).any(),
        lambda x: (x == 0).all(axis=1).any(),
        lambda x: len(x) > 3,
        lambda x: len(x) == 2,
    ],
    ids=["large", "huge", "negative", "nan", "infinite", "zeros", "many rows", "two rows"],
)
def test_influence_that_shows_only_where_one_row_is_odd_is_found(is_special: Callable[[Array], bool]) -> None:
    def compute(inputs: Sequence[Array]) -> list[Array]:
        x = inputs[0]
        return [np.roll(x, 1, axis=0) if is_special(x) else x]

    assert tried(signature(), compute) is None
    assert "changes with its neighbours" in (tried_hard(signature(), compute) or "")


def test_ids_that_only_large_ones_mix_are_found() -> None:
    def compute(inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0] + (inputs[0].max() > 5000)]

    assert tried_hard(signature(dtype=np.dtype(np.int64)), compute) is not None


def test_row_that_fails_alone_must_fail_in_company() -> None:
    def strict(inputs: Sequence[Array]) -> list[Array]:
        if (inputs[0] > 1e3).any():
            raise RunFailed(3, "too large")
        return [inputs[0] * 2]

    def lenient(inputs: Sequence[Array]) -> list[Array]:
        if (inputs[0] > 1e3).all():
            raise RunFailed(3, "too large")
        return [np.minimum(inputs[0], 1e3)]

    assert tried_hard(signature(), strict) is None
    assert "a row that fails alone is answered among others" in (tried_hard(signature(), lenient) or "")


def test_rows_that_are_answered_alone_must_be_answered_together() -> None:
    def crowded(inputs: Sequence[Array]) -> list[Array]:
        if len(inputs[0]) > 8:
            raise RunFailed(3, "too many\nat node 7")
        return [inputs[0] * 2]

    assert tried_hard(signature(), crowded) == "rows that are answered alone fail together: too many"


@pytest.mark.parametrize("code", [4, 8])
def test_run_that_has_no_time_or_memory_says_nothing(code: int) -> None:
    def crowded(inputs: Sequence[Array]) -> list[Array]:
        if len(inputs[0]) > 8:
            raise RunFailed(code, "no more")
        return [inputs[0] * 2]

    assert tried_hard(signature(), crowded) is None


def test_rounding_of_odd_rows_refutes_nothing() -> None:
    """Another order of sums, sines of large numbers, ties of classes, overflows."""

    def rounding(inputs: Sequence[Array]) -> list[Array]:
        wide = inputs[0].astype(np.float32) * np.float32(1 + 1e-7 * len(inputs[0]))
        product = wide @ np.array([[1, -1, 3], [2, 5, -3]], np.float32)
        return [np.sin(product), np.argmax(product, axis=1), wide * wide - wide * wide]

    outputs = {"y": (None, 3), "z": (None,), "o": (None, 2)}
    one = signature(outputs=outputs)
    with np.errstate(all="ignore"):
        reason = tried_hard(one, rounding)
    # Of the difference of equals nothing is shown.
    assert isinstance(reason, NoEvidence)
    assert "output 'o'" in reason


def test_every_output_must_show_something_or_be_proven() -> None:
    one = signature(outputs={"y": (None, 2), "empty": (None, 0), "same": (None,)})

    def run(inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0], inputs[0][:, :0], np.ones(len(inputs[0]), np.float32)]

    assert "output 'empty' is empty" in (tried_hard(one, run) or "")
    rows = Rows(kind=kind_of(one, run))
    for proven, missing in (({"empty"}, "'same'"), ({"empty", "same"}, None)):
        reason = rows_influence_each_other(one, bounded(run), rows, frozenset(proven))
        assert (missing in (reason or "")) if missing else reason is None


def test_real_rows_meet_odd_ones() -> None:
    def secret(inputs: Sequence[Array]) -> list[Array]:
        x = inputs[0]
        return [np.roll(x, 1, axis=0) if (x == 777).any() and np.isnan(x).any() else x]

    samples = [[np.full((1, 2), value, np.float32)] for value in (776, 777, 778)]
    assert tried_hard(signature(), secret) is None
    assert tried_hard(signature(), secret, samples=samples) is not None


def test_time_that_is_over_before_rows_were_tried_is_no_evidence() -> None:
    clock = FakeClock()

    def slow(inputs: Sequence[Array]) -> Measured:
        clock.now += 2.0
        return Measured([inputs[0]], 0)

    runs = BoundedRuns(slow, Limits(9.0, 2**30), clock)
    reason = rows_influence_each_other(signature(), runs, Rows(kind=Kind(8, 1000)))
    assert isinstance(reason, NoEvidence)
    assert "the time was over" in reason


def test_slow_graph_is_tried_with_few_companies() -> None:
    clock = FakeClock()
    sizes: list[int] = []

    def slow(inputs: Sequence[Array]) -> Measured:
        clock.now += 0.1 * len(inputs[0])
        sizes.append(len(inputs[0]))
        return Measured([inputs[0]], 0)

    runs = BoundedRuns(slow, Limits(30.0, 2**30), clock)
    kind = Kind(8, 1000)
    lone = climb(adversarial_rows(signature(), kind), runs, Cost(0.3, 0), 1 / 8)
    began = clock()
    assert rows_influence_each_other(signature(), runs, Rows((), kind, lone, 64)) is None
    assert clock() - began < 0.3 * 30
    assert 7 in sizes
    assert 64 not in sizes


def normalised(inputs: Sequence[Array]) -> Sequence[Array]:
    """Rounding differs with the number of rows, and a level that is normalised by itself makes much of it."""
    x = inputs[0]
    noise = np.where(x.any(axis=1, keepdims=True), 0, 0.01 * len(x))
    return [(x + noise).astype(x.dtype)]


def test_row_that_answers_otherwise_beside_copies_of_itself_runs_alone_even_if_it_is_proven(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reason = why_not_joined(
        signature(), bounded(normalised), "tried", Rows(kind=Kind(8, 1000), most=8), PROVEN
    )
    assert "changes with the number of rows" in (reason or "")
    assert "by proof, and yet" in caplog.text


def test_silence_is_tried_beside_a_copy_of_itself_though_there_is_no_time_for_many() -> None:
    clock = FakeClock()
    sizes = []

    def slow(inputs: Sequence[Array]) -> Measured:
        clock.now += 0.1 * len(inputs[0])
        sizes.append(len(inputs[0]))
        return Measured(normalised(inputs), 0)

    runs = BoundedRuns(slow, Limits(30.0, 2**30), clock)
    reason = why_not_joined(signature(), runs, "tried", Rows(kind=Kind(8, 1000), most=64), PROVEN)
    assert "changes with the number of rows" in (reason or "")
    assert 64 not in sizes
