"""The model and the images that ship with the server."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from hotgraph_server.commands.builtin import DIGITS, digits_model, heldout_digits
from hotgraph_server.repository.layout import default_name, versions_in


def test_model_is_a_folder_of_one_version_with_its_own_name() -> None:
    assert versions_in(digits_model()) == {1: digits_model() / "1"}
    assert default_name(digits_model()) == DIGITS


def test_images_are_pixels_between_zero_and_one_with_fifty_of_each_digit() -> None:
    images, labels = heldout_digits()
    assert (images.dtype.name, images.shape) == ("float32", (500, 784))
    assert (labels.dtype.name, labels.shape) == ("int64", (500,))
    assert images.min() == 0
    assert images.max() == 1
    assert np.bincount(labels).tolist() == [50] * 10


def test_images_are_had_without_tensorflow() -> None:
    program = """
import sys
from hotgraph_server.commands.builtin import heldout_digits
heldout_digits()
assert "tensorflow" not in sys.modules and "grpc" not in sys.modules, sorted(sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=100)
