"""Predict with its templates: a message never means anything else because of what came before it."""

from __future__ import annotations

import numpy as np

from hotgraph_server.errors import InvalidCall
from hotgraph_server.protocols.tfs.predict import Predict
from hotgraph_server.settings import PredictionSettings

from ..hot_methods import outcome, registry_of
from .predict_messages import floats, request, version


def test_shapes_are_held_against_the_signature_only_if_the_settings_say_so() -> None:
    message = request({name: np.ones((1, 1), np.float32) for name in "xy"}).SerializeToString()
    ours = version()
    for settings in (None, PredictionSettings(), PredictionSettings(strict_shapes=False)):
        assert outcome(Predict(registry_of(ours), settings), message, ours)[0] == 0
    strict = Predict(registry_of(ours), PredictionSettings(strict_shapes=True))
    told = "input 'x' has shape [1,1], the signature says [-1,2]"
    # Twice: nothing that was refused is remembered as a form.
    for _ in range(2):
        assert outcome(strict, message, ours)[:2] == (InvalidCall.status, told)
    assert outcome(strict, floats().SerializeToString(), ours)[0] == 0
