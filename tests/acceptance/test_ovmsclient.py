"""Intel's ovmsclient, unchanged: it speaks TensorFlow Serving's protocol with messages of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ovmsclient import InvalidInputError, ModelNotFoundError, make_grpc_client

from hotgraph_server.commands.builtin import heldout_digits


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Any]:
    client = make_grpc_client(address)
    yield client
    client.channel.close()


def test_recognises_digits(client: Any) -> None:
    images, labels = heldout_digits()
    found = client.predict({"images": images[:50]}, "digits")
    assert set(found) == {"classes", "probabilities"}
    assert np.mean(found["classes"] == labels[:50]) > 0.8


def test_single_output_comes_as_an_array(client: Any) -> None:
    found = client.predict({"x": np.ones((2, 2), np.float32), "factor": np.float32(4)}, "scalar_input")
    assert found.tolist() == [[4, 4], [4, 4]]


def test_strings(client: Any) -> None:
    found = client.predict({"text": [b"abc", "ä".encode()]}, "strings")
    assert found["upper"].tolist() == [b"ABC", "ä".encode()]


def test_metadata(client: Any) -> None:
    metadata = client.get_model_metadata("two_in_two_out")
    assert metadata["model_version"] == 1
    assert metadata["inputs"]["b"] == {"shape": [-1, 3], "dtype": "DT_INT32"}
    assert set(metadata["outputs"]) == {"sum", "product"}


def test_status(client: Any) -> None:
    status = client.get_model_status("versioned")
    assert {version: each["state"] for version, each in status.items()} == {7: "AVAILABLE"}


def test_unknown_model_is_its_model_not_found_error(client: Any) -> None:
    with pytest.raises(ModelNotFoundError, match=r"Servable not found for request: Latest\(nobody\)"):
        client.predict({"x": 1.0}, "nobody")


def test_wrong_input_is_its_invalid_input_error(client: Any) -> None:
    with pytest.raises(InvalidInputError, match="input size does not match signature"):
        client.predict({}, "tf2_mlp")
