"""NVIDIA's tritonclient on models that break servers which split and join everything by dimension 0."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from .triton_tensors import strings, tensor

FLOAT = np.float32


def test_scalar_output_is_over_the_call_s_own_rows(client: InferenceServerClient) -> None:
    answer = client.infer("unbatched_output", [tensor("x", np.ones((2, 3), FLOAT))])
    assert answer.as_numpy("doubled").tolist() == [[2, 2, 2]] * 2
    assert answer.as_numpy("total") == 6


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_square_output_is_never_split(client: InferenceServerClient, rows: int) -> None:
    answer = client.infer("square_output", [tensor("x", np.ones((rows, 3), FLOAT))])
    assert answer.as_numpy("doubled").shape == (rows, 3)
    assert answer.as_numpy("transition").tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_scalar_input_goes_beside_rows(client: InferenceServerClient) -> None:
    inputs = [tensor("x", np.ones((2, 2), FLOAT)), tensor("factor", FLOAT(4))]
    assert client.infer("scalar_input", inputs).as_numpy("scaled").tolist() == [[4, 4], [4, 4]]


def test_default_fills_an_input_that_is_left_out(client: InferenceServerClient) -> None:
    answer = client.infer("default_input", [tensor("x", np.ones((1, 2), FLOAT))])
    assert answer.as_numpy("scaled").tolist() == [[3, 3]]


def test_scalars_in_and_out(client: InferenceServerClient) -> None:
    answer = client.infer("scalars", [tensor("x", np.float64(3))])
    assert answer.as_numpy("y").shape == ()
    assert answer.as_numpy("y") == 9
    assert answer.as_numpy("word").item() == b"square"


def test_sparse_tensor_goes_in_and_comes_out_in_its_parts(client: InferenceServerClient) -> None:
    metadata = client.get_model_metadata("tf1_composites")
    assert [(one.name, one.datatype, list(one.shape)) for one in metadata.inputs] == [
        ("sp/dense_shape", "INT64", [2]),
        ("sp/indices", "INT64", [-1, 2]),
        ("sp/values", "FP32", [-1]),
    ]
    sent = [
        tensor("sp/indices", np.array([[0, 1], [1, 4]])),
        tensor("sp/values", np.array([1, 2], FLOAT)),
        tensor("sp/dense_shape", np.array([2, 5])),
    ]
    answer = client.infer("tf1_composites", sent)
    assert answer.as_numpy("total").tolist() == [1, 2]
    assert answer.as_numpy("doubled/values").tolist() == [2, 4]
    wanted = [InferRequestedOutput("doubled/indices")]
    (output,) = client.infer("tf1_composites", sent, outputs=wanted).get_response().outputs
    assert output.name == "doubled/indices"


@pytest.mark.parametrize("shape", [(), (2,), (2, 3, 1)])
def test_unknown_rank_takes_every_shape(client: InferenceServerClient, shape: Any) -> None:
    answer = client.infer("unknown_rank", [tensor("x", np.ones(shape, FLOAT))])
    assert answer.as_numpy("y").tolist() == np.full(shape, 2).tolist()


def test_declared_single_row_is_served(client: InferenceServerClient) -> None:
    answer = client.infer("fixed_batch", [tensor("x", np.ones((1, 4), FLOAT))])
    assert answer.as_numpy("y").tolist() == [[3, 3, 3, 3]]


def test_empty_inner_dimension(client: InferenceServerClient) -> None:
    answer = client.infer("variable_length", [tensor("x", np.ones((2, 0), FLOAT))])
    assert answer.as_numpy("total").tolist() == [0, 0]
    assert answer.as_numpy("nothing").shape == (2, 0)


def test_callers_of_different_lengths_get_their_own_sums(client: InferenceServerClient) -> None:
    def total(length: int) -> float:
        answer = client.infer("variable_length", [tensor("x", np.ones((1, length), FLOAT))])
        return float(answer.as_numpy("total")[0])

    lengths = [1, 5, 2, 9, 3, 3, 7, 1] * 4
    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(total, lengths)) == lengths


def test_padded_text_is_the_same_whoever_else_calls(client: InferenceServerClient) -> None:
    texts = ["ab", "a much longer text than that", "abc", "z"] * 6

    def mean(text: str) -> float:
        return float(client.infer("padded_text", [strings("text", [text.encode()])]).as_numpy("mean_code")[0])

    with ThreadPoolExecutor(8) as callers:
        found = list(callers.map(mean, texts))
    assert found == pytest.approx([np.mean([ord(letter) for letter in text]) for text in texts])


def test_batch_statistics_are_the_same_whoever_else_calls(client: InferenceServerClient) -> None:
    rows = np.random.default_rng(5).normal(size=(24, 1, 4)).astype(FLOAT)

    def run(row: Any) -> Any:
        return client.infer("batch_statistics", [tensor("x", row)]).as_numpy("y").tolist()

    with ThreadPoolExecutor(8) as callers:
        assert list(callers.map(run, rows)) == [[[0, 0, 0, 0]]] * len(rows)


def test_pass_through_gives_the_input_back(client: InferenceServerClient) -> None:
    answer = client.infer("pass_through", [tensor("x", [[FLOAT(1), FLOAT(2)]])])
    assert answer.as_numpy("same").tolist() == [[1, 2]]
    assert answer.as_numpy("doubled").tolist() == [[2, 4]]


def test_two_names_of_one_tensor_both_answer(client: InferenceServerClient) -> None:
    answer = client.infer("two_aliases", [tensor("x", [[FLOAT(1), FLOAT(2)]])])
    assert answer.as_numpy("first").tolist() == answer.as_numpy("second").tolist() == [[2, 4]]


@pytest.mark.parametrize(("model", "add"), [("counter", "increment"), ("tf1_counter", "add")])
def test_counter_counts_each_call_once(client: InferenceServerClient, model: str, add: str) -> None:
    def read() -> int:
        # a signature without inputs
        return int(client.infer(model, [], parameters={"signature_name": "read"}).as_numpy("count"))

    def increment(_: int) -> int:
        inputs = [tensor("by", np.int64(2))]
        return int(client.infer(model, inputs, parameters={"signature_name": add}).as_numpy("count"))

    before = read()
    with ThreadPoolExecutor(8) as callers:
        seen = sorted(callers.map(increment, range(20)))
    assert seen == list(range(before + 2, before + 42, 2))
    assert read() == before + 40


@pytest.mark.parametrize("model", ["vocabulary", "tf1_vocabulary"])
def test_table_is_filled_from_its_asset(client: InferenceServerClient, model: str) -> None:
    answer = client.infer(model, [strings("word", [b"coral", b"zinc", b"amber"])])
    assert answer.as_numpy("id").tolist() == [2, -1, 0]


@pytest.mark.parametrize("signature", ["serve", "serving_default"])
def test_both_signatures_of_a_keras_export(client: InferenceServerClient, signature: str) -> None:
    x = np.ones((2, 8), FLOAT)
    answer = client.infer("keras_dense", [tensor("x", x)], parameters={"signature_name": signature})
    assert answer.as_numpy("output_0").sum(axis=1) == pytest.approx([1, 1])


def test_megabytes_in_and_out(client: InferenceServerClient) -> None:
    x = np.random.default_rng(6).normal(size=(1000, 1000, 3)).astype(FLOAT)
    answer = client.infer("unknown_rank", [tensor("x", x)])
    assert np.array_equal(answer.as_numpy("y"), x + FLOAT(1))


def test_id_out_of_range_fails_the_call_with_tensorflow_s_words(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="INTERNAL") as caught:
        client.infer("embedding", [tensor("id", np.array([9], np.int32))])
    assert "assertion failed" in caught.value.message()
    answer = client.infer("embedding", [tensor("id", np.array([4], np.int32))])
    assert answer.as_numpy("vector").tolist() == [[4.5, 4.5, 4.5]]
