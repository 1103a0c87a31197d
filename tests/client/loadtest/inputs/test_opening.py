"""opening.py: what people should know of their data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hotgraph_client.loadtest.inputs.items import InputError
from hotgraph_client.loadtest.inputs.opening import open_inputs
from hotgraph_client.loadtest.inputs.options import InputOptions

from ..described import description

MODEL = description(("x", "FP32", (-1, 2)))


def test_calls_without_rows_are_told_of(tmp_path: Path) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 2), np.float32))
    np.save(tmp_path / "some.npy", np.zeros((3, 2), np.float32))
    (note,) = open_inputs(MODEL, InputOptions(data=[str(tmp_path / "none.npy")])).notes
    assert "no rows" in note
    assert not open_inputs(MODEL, InputOptions(data=[str(tmp_path / "some.npy")])).notes


def test_images_for_a_model_that_takes_none_are_refused_with_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"no input of .* takes images.* x \(FP32"):
        open_inputs(MODEL, InputOptions(data=[str(tmp_path)]))
