"""The model and the images that ship with the server: what it serves when no directory is given.

scripts/train_digits.py makes them. Nothing here imports TensorFlow, so that a client may use the images.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DIGITS = "digits"  # the name under which the built-in model is served


def digits_model() -> Path:
    """The folder of the digits model; the folder `1` in it is the SavedModel of its only version.

    Signature `serving_default`: `images` float32 [-1, 784], pixels in [0, 1], to `probabilities` float32
    [-1, 10] and `classes` int64 [-1].
    """
    # A server maps files by their names, so the package must lie unpacked; pip always installs it so.
    return Path(str(importlib.resources.files("hotgraph_server.commands").joinpath(DIGITS)))


def heldout_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """500 MNIST images that the digits model was not trained on, fifty of each digit, in shuffled order.

    Returns images float32 [500, 784] with pixels in [0, 1], and labels int64 [500] in 0..9.
    """
    with np.load(digits_model() / "heldout.npz", allow_pickle=False) as heldout:
        return heldout["images"].astype(np.float32) / np.float32(255), heldout["labels"].astype(np.int64)
