from __future__ import annotations

import numpy as np

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.model_config.shown import shown
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.sequences.rules import Control, ControlTensor, SequenceRules, StateTensor

CONFIG = ModelConfig(
    input=[{"name": "x", "data_type": "TYPE_FP32"}, {"name": "words", "data_type": "TYPE_STRING"}],
    output=[{"name": "y", "data_type": "TYPE_INT64"}],
)
INPUTS = {"x": TensorContract((-1, 4), (-1, 2, 2)), "words": TensorContract(None, optional=True)}
OUTPUTS = {"y": TensorContract((2,), labels=("cat", "dog"))}
INT32 = np.dtype(np.int32)


def test_tensors_are_shown_as_clients_see_them() -> None:
    assert list(shown(Contract(CONFIG, "s", False, 0, INPUTS, OUTPUTS))) == [
        "  no batch dimension: shapes are whole",
        "  in   x      TYPE_FP32    [?, 4] here, [?, 2, 2] in the model",
        "  in   words  TYPE_STRING  any shape",
        "  out  y      TYPE_INT64   [2]  2 labels",
    ]


def test_size_of_calls_is_shown() -> None:
    assert next(shown(Contract(CONFIG, "s", True, 8, INPUTS, OUTPUTS))).endswith("8 rows at most")
    assert next(shown(Contract(CONFIG, "s", True, 0, INPUTS, OUTPUTS))).endswith("any number of rows")
    assert next(shown(Contract(ModelConfig()))).startswith("  calls must name their signature")


def test_optional_inputs_are_told() -> None:
    one = ModelConfig(input=[{"name": "x", "data_type": "TYPE_FP32"}])
    (_, line) = shown(Contract(one, "s", False, 0, {"x": TensorContract((), optional=True)}))
    assert line == "  in   x  TYPE_FP32    []  may be left out"


def test_sequences_and_what_becomes_of_answers_are_shown() -> None:
    rules = SequenceRules(
        strategy="oldest",
        controls=(ControlTensor(Control.START, "start", INT32),),
        states=(StateTensor("before", "after", INT32, (2,)),),
    )
    contract = Contract(ModelConfig(), "s", sequence=rules, cached=True, decoupled=True)
    assert list(shown(contract))[1:] == [
        "  calls of a sequence go one after the other (oldest); the server fills in before, start",
        "  after of a sequence's call is before of its next",
        "  answers may be kept and given again",
        "  calls come in streams only",
    ]
