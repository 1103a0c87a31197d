from __future__ import annotations

import gc
import itertools
import shutil
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hotgraph_server.errors import LoadError, RunFailed
from hotgraph_server.graph.graph import Graph
from hotgraph_server.settings import SessionSettings
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.first_runs import warm_up

from ...saved_models import BUILDERS, DTYPES, SavedModels, tf1
from .graphs import Arrays, assert_same, changed, cut_in_half, f32, i64, opened, run, texts


def example(*features: float) -> bytes:
    from tensorflow.core.example.example_pb2 import Example

    message = Example()
    message.features.feature["x"].float_list.value.extend(features)
    return bytes(message.SerializeToString())


# Kind -> runs of it: signature, inputs, and the outputs that they must give. None: TensorFlow's own
# eager answer is what they are compared with.
Run = tuple[str, Arrays, Arrays | None]
ROW = np.linspace(0, 1, 784, dtype=np.float32)
RUNS: dict[str, Callable[[], Sequence[Run]]] = {
    "running_sum": lambda: [
        (
            "serving_default",
            {
                "x": f32([1], [2]),
                "sum_in": f32([10], [20]),
                "START": np.array([[0], [1]], np.int32),
                "END": np.array([[1], [0]], np.int32),
                "READY": np.array([[1], [1]], np.int32),
                "CORRID": i64([7], [8]),
            },
            {"sum": f32([11], [22]), "sum_out": f32([11], [22]), "heard": i64([0, 1, 1, 7], [1, 0, 1, 8])},
        )
    ],
    "slot_sums": lambda: [
        (
            "serving_default",
            {"x": f32([3], [4]), "START": np.array([[True], [True]]), "READY": np.array([[True], [False]])},
            {"sum": f32([3], [0])},
        ),
        ("read", {}, {"sums": f32([3], *[[0]] * 15)}),
    ],
    "tf1_softmax": lambda: [("serving_default", {"x": np.stack([ROW, ROW[::-1]])}, None)],
    "tf1_counter": lambda: [
        ("read", {}, {"count": np.array(0)}),
        ("add", {"by": np.array(3)}, {"count": np.array(3)}),
        ("read", {}, {"count": np.array(3)}),
    ],
    "example_scores": lambda: [
        (
            "serving_default",
            {"inputs": texts(example(1, 2, 3, 4))},
            {"scores": f32([3, 3, 4]), "classes": texts([b"left", b"middle", b"right"])},
        ),
        (
            "predict",
            {"examples": texts(example(1, 2, 3, 4), example(0, 1, 0, 1))},
            {"scores": f32([3, 3, 4], [1, 0, 1])},
        ),
    ],
    "example_tasks": lambda: [
        ("regress", {"inputs": texts(example(1, 2, 3, 4))}, {"outputs": f32(10)}),
        (
            "elsewhere",
            {"inputs": texts(example(0, 1, 0, 1))},
            {"scores": f32([1, 0, 1]), "classes": texts([b"left", b"middle", b"right"])},
        ),
    ],
    "tf1_vocabulary": lambda: [
        ("serving_default", {"word": texts(b"coral", b"?", b"amber")}, {"id": i64(2, -1, 0)})
    ],
    "pass_through": lambda: [
        ("serving_default", {"x": f32([1, 2])}, {"doubled": f32([2, 4]), "same": f32([1, 2])})
    ],
    "two_aliases": lambda: [
        ("serving_default", {"x": f32([1, 2])}, {"first": f32([2, 4]), "second": f32([2, 4])})
    ],
    "unknown_rank": lambda: [
        ("serving_default", {"x": np.array(1, np.float32)}, {"y": np.array(2, np.float32)}),
        ("serving_default", {"x": f32([[1], [2]])}, {"y": f32([[2], [3]])}),
    ],
    "fixed_batch": lambda: [("serving_default", {"x": f32([1, 2, 3, 4])}, {"y": f32([3, 6, 9, 12])})],
    "tf2_mlp": lambda: [("serving_default", {"x": np.stack([ROW[:16], ROW[16:32]])}, None)],
    "keras_dense": lambda: [
        ("serving_default", {"x": np.stack([ROW[:8], ROW[16:24]])}, None),
        ("serve", {"x": ROW[None, :8]}, None),
    ],
    "two_in_two_out": lambda: [
        (
            "serving_default",
            {"a": f32([1.5, 2.5, -1.5]), "b": np.array([[2, 3, 4]], np.int32)},
            {"sum": f32([3.5, 5.5, 2.5]), "product": np.array([[2, 6, -4]], np.int32)},
        )
    ],
    "strings": lambda: [
        (
            "serving_default",
            {"text": texts(b"abc", b"", b"\xff\0x\0")},
            {"upper": texts(b"ABC", b"", b"\xff\0X\0"), "length": np.array([3, 0, 4], np.int32)},
        ),
        ("serving_default", {"text": texts()}, {"upper": texts(), "length": np.zeros(0, np.int32)}),
    ],
    "unbatched_output": lambda: [
        (
            "serving_default",
            {"x": f32([1, 2, 3])},
            {"doubled": f32([2, 4, 6]), "total": np.array(6, np.float32)},
        )
    ],
    "square_output": lambda: [
        (
            "serving_default",
            {"x": f32([1, 2, 3])},
            {"doubled": f32([2, 4, 6]), "transition": np.arange(9, dtype=np.float32).reshape(3, 3)},
        )
    ],
    "scalar_input": lambda: [
        ("serving_default", {"x": f32([1, 2]), "factor": np.array(3, np.float32)}, {"scaled": f32([3, 6])})
    ],
    "default_input": lambda: [
        ("serving_default", {"x": f32([1, 2]), "factor": np.array(4, np.float32)}, {"scaled": f32([4, 8])})
    ],
    "counter": lambda: [
        ("read", {}, {"count": np.array(0)}),
        ("increment", {"by": np.array(3)}, {"count": np.array(3)}),
        ("increment", {"by": np.array(-1)}, {"count": np.array(2)}),
        ("read", {}, {"count": np.array(2)}),
    ],
    "vocabulary": lambda: [("serving_default", {"word": texts(b"coral", b"?")}, {"id": i64(2, -1)})],
    "every_dtype": lambda: [
        (f"echo_{name}", {"x": values}, {"y": values}) for name, values in VALUES.items()
    ],
    "scalars": lambda: [
        ("serving_default", {"x": np.array(1.5)}, {"y": np.array(2.25), "word": np.array(b"square", STRING)})
    ],
    "variable_length": lambda: [
        (
            "serving_default",
            {"x": np.ones((2, columns), np.float32)},
            {"total": np.full(2, columns, np.float32), "nothing": np.zeros((2, 0), np.float32)},
        )
        for columns in (3, 0, 5)
    ],
    "batch_statistics": lambda: [("serving_default", {"x": f32([1, 2, 3, 4])}, {"y": f32([0, 0, 0, 0])})],
    "padded_text": lambda: [
        ("serving_default", {"text": texts(b"a")}, {"mean_code": f32(97)}),
        ("serving_default", {"text": texts(b"a", b"bb")}, {"mean_code": f32(48.5, 98)}),
    ],
    "embedding": lambda: [
        ("serving_default", {"id": np.array([4, 0], np.int32)}, {"vector": f32([4.5] * 3, [0.5] * 3)})
    ],
    "tf1_lookups": lambda: [
        ("serving_default", {"id": np.array([4, 0], np.int32)}, {"vector": f32([12, 13, 14], [0, 1, 2])})
    ],
    "tf1_control_flow": lambda: [
        ("serving_default", {"x": f32([1, 2])}, {"y": f32([9, 17])}),
        ("serving_default", {"x": f32([1, -2])}, {"y": f32([8, -16])}),
    ],
    "lookups": lambda: [
        (
            "serving_default",
            {"id": np.array([[1, 2], [0, 1]], np.int32)},
            {
                "row": f32([20, 21, 22, 23], [4, 5, 6, 7]),
                "batched": f32([[4, 5, 6, 7], [8, 9, 10, 11]], [[16, 17, 18, 19], [20, 21, 22, 23]]),
                "chosen": f32([13, 14], [12, 13]),
                "summed": f32([15, 18], [12, 15]),
                "shape": np.array([2, 3, 4], np.int32),
            },
        )
    ],
    "keras_saved": lambda: [("serving_default", {"inputs": texts([b"coral"], [b"?"], [b"amber"])}, None)],
    "keras_counter": lambda: [
        ("read", {}, {"count": np.array(0)}),
        ("increment", {"by": np.array(3)}, {"count": np.array(3)}),
        ("read", {}, {"count": np.array(3)}),
    ],
    "nameless_tables": lambda: [("serving_default", {"word": texts(b"amber", b"?")}, None)],
    "saved_again": lambda: [("serving_default", {"word": texts(b"amber", b"?")}, None)],
    "no_saver": lambda: [("serving_default", {"x": f32([1, 2])}, {"y": f32([3, 6])})],
    "ragged_and_sparse": lambda: [
        (
            "ragged",
            {"x": f32(1, 2, 3, 4), "x_1": i64(0, 2, 3), "x_2": i64(0, 1, 3, 4), "z": f32(10, 20)},
            {"total": f32(16, 24)},
        ),
        ("ragged", {"x": f32(1, 2), "x_1": i64(0, 1, 1), "x_2": i64(0, 2), "z": f32(0, 0)}, None),
        ("sparse", {"x": i64([0, 1], [1, 0], [1, 2]), "x_1": f32(1, 2, 3), "x_2": i64(2, 3)}, None),
        (
            "serving_default",
            {"x": f32([0, 2], [3, 4])},
            {
                "doubled": f32([0, 4], [6, 8]),
                "ragged/flat_values": f32(2, 3, 4),
                "ragged/row_splits_0": i64(0, 1, 3),
                "sparse/indices": i64([0, 1], [1, 0], [1, 1]),
                "sparse/values": f32(2, 3, 4),
                "sparse/dense_shape": i64(2, 2),
            },
        ),
        (
            "slices",
            {"x": f32([1, 2])},
            {"slices/0": f32([1, 2]), "slices/1": np.array([0], np.int32)},
        ),
        ("listed", {"x": f32([1, 2]), "x_1": i64(3)}, {"sum": f32([4, 5])}),
    ],
    "tf1_composites": lambda: [
        (
            "serving_default",
            {"sp/indices": i64([0, 1], [1, 4]), "sp/values": f32(1, 2), "sp/dense_shape": i64(2, 5)},
            {
                "total": f32(1, 2),
                "doubled/indices": i64([0, 1], [1, 4]),
                "doubled/values": f32(2, 4),
                "doubled/dense_shape": i64(2, 5),
            },
        ),
        (
            "ragged",
            {"rg/flat_values": f32(1, 2, 3), "rg/row_splits_0": i64(0, 1, 3)},
            {
                "total": f32(1, 5),
                "doubled/flat_values": f32(2, 4, 6),
                "doubled/row_splits_0": i64(0, 1, 3),
            },
        ),
    ],
    "gated": lambda: [
        (
            "hold",
            {"entered": np.array(b"", STRING), "gate": np.array(b"", STRING)},
            {"opened": np.array(True)},
        ),
        ("serving_default", {"x": f32([1, 2])}, {"doubled": f32([2, 4])}),
    ],
}
FAIL_AT_THEIR_FIRST_RUN = {"uninitialized", "uninitialized_table"}

VALUES: dict[str, Array] = {
    **{name: np.array([[0, 1], [3, 127]], name) for name in DTYPES if "int" in name},
    **{name: np.array([[0.5, -1], [np.inf, 2]], name) for name in ("float32", "float64")},
    **{name: np.array([[0.5 - 1j, -1], [2j, 2]], name) for name in ("complex64", "complex128")},
    "bool": np.array([[True, False]]),
    "half": np.array([[0.5, -65504]], np.float16),
    "bfloat16": np.array([[0.5, 3e38]], ml_dtypes.bfloat16),
    "string": np.array([[b"", b"\xff\0\0"], [b"x" * 1000, "é".encode()]], STRING),
}


def eager_answer(directory: Path, name: str, inputs: Arrays) -> Arrays:
    import tensorflow as tf

    function = tf.saved_model.load(str(directory)).signatures[name]
    answers = function(**{alias: tf.constant(array) for alias, array in inputs.items()})
    return {alias: tensor.numpy() for alias, tensor in answers.items()}


def test_every_kind_of_the_zoo_is_run_here() -> None:
    assert set(RUNS) | FAIL_AT_THEIR_FIRST_RUN == set(BUILDERS)
    assert set(VALUES) == set(DTYPES)


@pytest.mark.parametrize("kind", RUNS)
def test_saved_model_gives_its_right_values_shapes_and_dtypes(saved_models: SavedModels, kind: str) -> None:
    with opened(saved_models[kind]) as graph:
        for name, inputs, expected in RUNS[kind]():
            if expected is None:
                expected = eager_answer(saved_models[kind], name, inputs)
            assert_same(run(graph, inputs, name), expected)


@pytest.mark.parametrize("name", DTYPES)
def test_empty_arrays_of_every_dtype_come_back_empty(saved_models: SavedModels, name: str) -> None:
    empty = VALUES[name][:0]
    with opened(saved_models["every_dtype"]) as graph:
        assert_same(run(graph, {"x": empty}, f"echo_{name}"), {"y": empty})


@pytest.mark.parametrize("kind", sorted(FAIL_AT_THEIR_FIRST_RUN))
def test_signature_that_nothing_initialises_does_not_pass_the_warm_up(
    saved_models: SavedModels, kind: str
) -> None:
    with opened(saved_models[kind]) as graph:
        found = warm_up(graph, kind)
        assert found.unusable.keys() == graph.signatures.keys()
        assert all("it fails whatever it is given" in reason for reason in found.unusable.values())


def test_each_choice_of_outputs_is_answered_in_its_own_order(saved_models: SavedModels) -> None:
    inputs = {"a": f32([1, 2, 3]), "b": np.array([[4, 5, 6]], np.int32)}
    with opened(saved_models["two_in_two_out"]) as graph:
        everything = run(graph, inputs)
        for wanted in (("product",), ("sum",), ("sum", "product"), ("product", "sum")):
            got = run(graph, inputs, outputs=wanted)
            assert tuple(got) == wanted
            assert_same(got, {alias: everything[alias] for alias in wanted})


def test_output_that_is_an_input_and_nothing_else_needs_no_run(saved_models: SavedModels) -> None:
    x = f32([1, 2])
    with opened(saved_models["pass_through"]) as graph:
        assert run(graph, {"x": x}, outputs=("same",))["same"] is x


def test_callables_are_kept_for_the_latest_choices_of_outputs_only(
    saved_models: SavedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotgraph_server.graph.callables.MAX_CALLABLES", 2)
    inputs = {"a": f32([1, 2, 3]), "b": np.array([[4, 5, 6]], np.int32)}
    with opened(saved_models["two_in_two_out"]) as graph:
        for _, wanted in itertools.product(range(3), [("product",), ("sum",), ("sum", "product")]):
            assert tuple(run(graph, inputs, outputs=wanted)) == wanted
            assert len(graph.callables) <= 2


def test_refusal_that_quotes_bytes_which_are_no_text_is_one_all_the_same(saved_models: SavedModels) -> None:
    with opened(saved_models["example_scores"]) as graph:
        with pytest.raises(RunFailed, match=r"Could not parse example input, value: '\\x81no") as caught:
            run(graph, {"examples": np.array([b"\x81no example"], object)}, "predict")
        assert caught.value.status.name == "INVALID_ARGUMENT"


def test_run_that_tensorflow_refuses_says_so_with_its_code(saved_models: SavedModels) -> None:
    with opened(saved_models["embedding"]) as graph:
        with pytest.raises(RunFailed) as caught:
            run(graph, {"id": np.array([77], np.int32)})
        assert caught.value.status.name == "INVALID_ARGUMENT"
        with pytest.raises(RunFailed, match="expect"):
            run(graph, {"id": np.array([1], np.int64)})
        assert run(graph, {"id": np.array([1], np.int32)})["vector"].tolist() == [[1.5] * 3]


def test_another_thread_may_neither_run_nor_close_a_graph(saved_models: SavedModels) -> None:
    raised: list[BaseException] = []

    def touch(graph: Graph) -> None:
        for use in (lambda: run(graph, {"x": f32([1, 2])}), graph.close):
            try:
                use()
            except AssertionError as error:
                raised.append(error)

    with opened(saved_models["pass_through"]) as graph:
        thread = threading.Thread(target=touch, args=(graph,))
        thread.start()
        thread.join()
        assert len(raised) == 2
        run(graph, {"x": f32([1, 2])})


def test_closed_graph_goes_with_its_last_reference_and_needs_no_collection(saved_models: SavedModels) -> None:
    """A collection searches what all other models hold, and no call is answered meanwhile."""
    # What is there once for all graphs.
    Graph.open(saved_models["tf2_mlp"], SessionSettings()).close()
    gc.collect()
    gc.disable()
    try:
        graph = Graph.open(saved_models["tf2_mlp"], SessionSettings())
        gone = weakref.ref(graph.session.graph)
        graph.close()
        graph.close()
        del graph
        assert gone() is None
    finally:
        gc.enable()


def test_trial_on_real_graphs_batches_the_good_and_finds_the_rest(saved_models: SavedModels) -> None:
    expected = {
        "tf1_softmax": None,
        "tf2_mlp": None,
        "keras_dense": None,
        "two_in_two_out": None,
        "variable_length": None,
        "embedding": None,
        "batch_statistics": "takes the mean over the rows",
        "unbatched_output": "takes the sum over the rows",
        "square_output": None,
        "strings": None,
        "vocabulary": None,
        "padded_text": "output 'mean_code' of a row changes with its neighbours",
        "scalar_input": None,
        "fixed_batch": "input 'x'",
        "unknown_rank": "input 'x'",
        "keras_saved": None,
        "ragged_and_sparse": "'ragged' is a tensor of several parts",
        "tf1_composites": "'sp' is a tensor of several parts",
    }
    for kind, reason in expected.items():
        with opened(saved_models[kind]) as graph:
            alone = warm_up(graph, kind).unbatched_reasons["serving_default"]
            assert alone is None if reason is None else reason in (alone or ""), (kind, alone)


# State.


@pytest.mark.parametrize(
    ("kind", "change"), [("counter", "increment"), ("tf1_counter", "add"), ("keras_counter", "increment")]
)
def test_state_changes_when_it_is_called_and_never_by_the_warm_up(
    saved_models: SavedModels, kind: str, change: str
) -> None:
    with opened(saved_models[kind]) as graph:
        assert "change the state" in (warm_up(graph, kind).unbatched_reasons[change] or "")
        assert run(graph, {}, "read")["count"].item() == 0
        assert run(graph, {"by": np.array(5)}, change)["count"].item() == 5
        assert run(graph, {}, "read")["count"].item() == 5


@pytest.mark.parametrize(("kind", "change"), [("counter", "increment"), ("tf1_counter", "add")])
def test_answer_stays_what_it_was_when_the_state_changes(
    saved_models: SavedModels, kind: str, change: str
) -> None:
    """An array that shared its memory with the variable would change while it waits to be sent."""
    with opened(saved_models[kind]) as graph:
        read = run(graph, {}, "read")["count"]
        first = run(graph, {"by": np.array(5)}, change)["count"]
        run(graph, {"by": np.array(5)}, change)
        assert (read.item(), first.item()) == (0, 5)


def variables_themselves(message: Any) -> None:
    """Add the signature `whole`, which gives the variables, as references."""
    graph = message.meta_graphs[0]
    names = [node.name for node in graph.graph_def.node if node.op == "VariableV2"]
    for name in names:
        info = graph.signature_def["whole"].outputs[name]
        info.name, info.dtype = f"{name}:0", 101
        info.tensor_shape.unknown_rank = True


def test_variable_itself_can_be_an_output(saved_models: SavedModels, tmp_path: Path) -> None:
    directory = changed(saved_models["tf1_softmax"], tmp_path / "m", variables_themselves)
    with opened(directory) as graph:
        answer = run(graph, {}, "whole")
        assert sorted(array.shape for array in answer.values()) == [(10,), (784, 10)]
        assert {array.dtype for array in answer.values()} == {np.dtype(np.float32)}


def test_reference_that_was_an_answer_stays_what_it_was(saved_models: SavedModels, tmp_path: Path) -> None:
    def refer(message: Any) -> None:
        graph = message.meta_graphs[0]
        (variable,) = (node.name for node in graph.graph_def.node if node.op == "VariableV2")
        (assign,) = (node.name for node in graph.graph_def.node if node.op == "AssignAdd")
        for name, op in (("read", variable), ("add", assign)):
            graph.signature_def[name].outputs["count"].name = f"{op}:0"
            graph.signature_def[name].outputs["count"].dtype = 109

    directory = changed(saved_models["tf1_counter"], tmp_path / "m", refer)
    with opened(directory) as graph:
        read = run(graph, {}, "read")["count"]
        first = run(graph, {"by": np.array(5)}, "add")["count"]
        run(graph, {"by": np.array(5)}, "add")
        assert (read.item(), first.item()) == (0, 5)


def test_array_read_from_a_variable_stays_what_it_was_when_the_state_changes(tmp_path: Path) -> None:
    """TensorFlow gives out the very memory of a reference variable, unless the array is tiny."""
    import tensorflow.compat.v1 as tf

    size = 100_000
    with tf.Graph().as_default(), tf.Session() as session:
        by = tf.placeholder(tf.float32, [], name="by")
        whole = tf.Variable(np.zeros(size, np.float32), use_resource=False)
        added = tf.identity(tf.assign_add(whole, tf.fill([size], by)))
        session.run(tf.global_variables_initializer())
        signatures = {"add": ({"by": by}, {"whole": added}), "read": ({}, {"whole": tf.identity(whole)})}
        tf1.save(tmp_path / "m", session, signatures)
    five = np.array(5, np.float32)
    with opened(tmp_path / "m") as graph:
        read = run(graph, {}, "read")["whole"]
        first = run(graph, {"by": five}, "add")["whole"]
        run(graph, {"by": five}, "add")
        assert (read.max(), first.max()) == (0, 5)


@pytest.mark.parametrize("kind", ["counter", "tf1_counter"])
def test_two_graphs_with_equal_variable_names_keep_their_state_apart(
    saved_models: SavedModels, kind: str
) -> None:
    change = {"counter": "increment", "tf1_counter": "add"}[kind]
    with opened(saved_models[kind]) as one, opened(saved_models[kind]) as other:
        run(one, {"by": np.array(5)}, change)
        run(other, {"by": np.array(7)}, change)
        assert [run(graph, {}, "read")["count"].item() for graph in (one, other)] == [5, 7]


# Devices.


def devices_of_ops(graph: Graph, inputs: Arrays, name: str = "serving_default") -> dict[str, set[str]]:
    """The devices on which the ops of one run were executed, by op type, from TensorFlow's own trace."""
    from tensorflow.core.protobuf import config_pb2

    signature = graph.signatures[name]
    metadata = config_pb2.RunMetadata()
    graph.session.run(
        [spec.tensor for spec in signature.outputs],
        {spec.tensor: inputs[spec.alias] for spec in signature.inputs},
        config_pb2.RunOptions(trace_level=config_pb2.RunOptions.FULL_TRACE, output_partition_graphs=True),
        metadata,
    )
    executed = {
        (node.node_name, device.device)
        for device in metadata.step_stats.dev_stats
        for node in device.node_stats
    }
    devices: dict[str, set[str]] = {}
    for partition in metadata.partition_graphs:
        for node in partition.node:
            # What is fed and fetched passes over the host's first device, and what crosses is sent.
            if (node.name, node.device) in executed and node.op not in ("_Arg", "_Retval", "_Send", "_Recv"):
                devices.setdefault(node.op.removeprefix("_Mkl"), set()).add(node.device[-6:])
    return devices


PLACED: dict[str, tuple[Arrays, set[str]]] = {
    "tf1_softmax": ({"x": np.zeros((1, 784), np.float32)}, {"Softmax", "ArgMax", "VariableV2"}),
    # The work of these is inside a function that the graph calls.
    "tf2_mlp": ({"x": np.zeros((1, 16), np.float32)}, {"Softmax", "MatMul", "Relu", "VarHandleOp"}),
    "keras_dense": ({"x": np.zeros((1, 8), np.float32)}, {"Softmax"}),
    "vocabulary": ({"word": texts(b"coral")}, {"LookupTableFindV2", "HashTableV2"}),
    "embedding": ({"id": np.array([1], np.int32)}, {"VarHandleOp"}),
}


@pytest.mark.parametrize("kind", PLACED)
@pytest.mark.parametrize("device", ["/CPU:0", "/CPU:1"])
def test_ops_run_on_the_device_that_was_asked_for(saved_models: SavedModels, kind: str, device: str) -> None:
    inputs, ops = PLACED[kind]
    with opened(saved_models[kind], SessionSettings(device=device, cpu_devices=2)) as graph:
        devices = devices_of_ops(graph, inputs)
    assert ops <= devices.keys()
    assert {place for places in devices.values() for place in places} == {device.replace("/", ":")[-6:]}


@pytest.mark.parametrize("kind", ["tf1_softmax", "tf2_mlp"])
def test_devices_of_the_exporters_machine_do_not_count(
    saved_models: SavedModels, tmp_path: Path, kind: str
) -> None:
    def pin(message: Any) -> None:
        graph_def = message.meta_graphs[0].graph_def
        for node in graph_def.node:
            node.device = "/job:trainer/replica:0/task:3/device:CPU:0"
        for function in graph_def.library.function:
            for node in function.node_def:
                node.device = "/device:CPU:0"

    directory = changed(saved_models[kind], tmp_path / "m", pin)
    inputs, ops = PLACED[kind]
    with opened(directory, SessionSettings(device="/CPU:1", cpu_devices=2)) as graph:
        devices = devices_of_ops(graph, inputs)
    assert ops <= devices.keys()
    assert {place for places in devices.values() for place in places} == {":CPU:1"}


@pytest.mark.parametrize("kind", ["tf2_mlp", "tf1_softmax", "vocabulary", "every_dtype", "example_scores"])
def test_answers_are_the_same_on_another_device(saved_models: SavedModels, kind: str) -> None:
    with (
        opened(saved_models[kind]) as here,
        opened(saved_models[kind], SessionSettings(device="/CPU:1", cpu_devices=2)) as there,
    ):
        for name, inputs, _ in RUNS[kind]():
            assert_same(run(there, inputs, name), run(here, inputs, name))


@pytest.mark.parametrize("device", ["/CPU:0", "/CPU:1"])
def test_error_says_what_went_wrong_on_any_device(
    saved_models: SavedModels, tmp_path: Path, device: str
) -> None:
    """Away from the host's first device a graph has two parts, and TensorFlow tells of the errors of both."""
    settings = SessionSettings(device=device, cpu_devices=2)
    with (
        opened(saved_models["example_scores"], settings) as graph,
        pytest.raises(RunFailed, match=r"^Could not parse example input, value: 'nonsense'") as refused,
    ):
        run(graph, {"examples": texts(b"nonsense")}, "predict")
    assert "root error" not in str(refused.value)
    for kind in ("tf1_softmax", "tf2_mlp"):
        shutil.copytree(saved_models[kind], tmp_path / kind)
        cut_in_half(tmp_path / kind / "variables" / "variables.data-00000-of-00001")
        with pytest.raises(LoadError) as broken:
            Graph.open(tmp_path / kind, settings)
        assert broken.value.why == "TensorFlow cannot load it: Read less bytes than requested"
