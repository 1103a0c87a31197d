from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config.own_files import OwnFiles
from hotgraph_server.model_config.sequence_batching import rules_of
from hotgraph_server.model_config.validation import check_config
from hotgraph_server.sequences.rules import Control, ControlTensor, SequenceRules
from hotgraph_server.tensors import STRING

from .configs import SEQUENCES, parsed


def rules(text: str, folder: Path = Path("/nowhere")) -> SequenceRules | None:
    config = parsed(text)
    check_config(config, config.name or "m")
    return rules_of(config, OwnFiles(folder), "m")


def batching(text: str, folder: Path = Path("/nowhere")) -> SequenceRules:
    found = rules(f"sequence_batching {{ {text} }}", folder)
    assert found is not None
    return found


def test_calls_are_independent_unless_the_configuration_says_otherwise() -> None:
    assert rules("max_batch_size: 4") is None
    assert batching("") == SequenceRules(idle_s=1.0, strategy="direct")


def test_oldest_strategy_is_read() -> None:
    found = rules(SEQUENCES)
    assert found is not None
    assert (found.strategy, found.idle_s, found.max_candidates) == ("oldest", 5.0, 4)
    assert (found.preferred_rows, found.max_queue_delay_s) == ((2, 4), 1e-4)
    start, ready, correlation = found.controls
    assert start == ControlTensor(Control.START, "START", np.dtype(np.float32), np.float32(0), np.float32(1))
    assert ready == ControlTensor(Control.READY, "READY", np.dtype(np.bool_), np.False_, np.True_)
    assert correlation == ControlTensor(Control.CORRELATION_ID, "ID", np.dtype(np.uint64))
    (state,) = found.states
    assert (state.input_alias, state.output_alias, state.dims) == ("sum_in", "sum_out", (2,))
    np.testing.assert_array_equal(state.initial, np.zeros(2, np.int32))
    assert found.hidden_inputs == {"START", "READY", "ID", "sum_in"}
    assert found.hidden_outputs == {"sum_out"}


def test_direct_strategy_is_read() -> None:
    found = batching("direct { max_queue_delay_microseconds: 5 minimum_slot_utilization: 0.5 }")
    assert (found.strategy, found.max_queue_delay_s, found.minimum_slot_utilization) == ("direct", 5e-6, 0.5)


STATE = "state { input_name: 'a' output_name: 'b' data_type: TYPE_STRING dims: [2, -1] initial_state { %s } }"


def test_initial_states_come_from_files_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "initial_state").mkdir()
    (tmp_path / "initial_state" / "words").write_bytes(b"\1\0\0\0x\2\0\0\0yz")
    found = batching(STATE % "dims: [2, 1] data_file: 'words'", tmp_path)
    assert found.states[0].dtype == STRING
    assert found.states[0].initial.tolist() == [[b"x"], [b"yz"]]  # type: ignore[union-attr]
    with pytest.raises(SettingsError, match="initial_state/words: expected 4 string elements, got 2"):
        batching(STATE % "dims: [2, 2] data_file: 'words'", tmp_path)
    with pytest.raises(SettingsError, match="is no name of a file in the model's folder"):
        batching(STATE % "dims: [2, 1] data_file: '../../words'", tmp_path)


def test_initial_strings_are_empty() -> None:
    found = batching(STATE % "dims: [2, 3] zero_data: true")
    assert found.states[0].initial.tolist() == [[b""] * 3] * 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("iterative_sequence: true", "iterative_sequence of m is not served here"),
        ("control_input { }", "must specify 'name' of its control inputs for m"),
        ("control_input { name: 'a' }", "control input 'a' of m needs one control, got 0"),
        ("control_input { name: 'a' control { } }", "must specify one of int32_false_true, fp32_false_true"),
        ("control_input { name: 'a' control { int32_false_true: 1 } }", "with two values"),
        (
            "control_input { name: 'a' control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 } }",
            "unexpected data type TYPE_FP32 for CONTROL_SEQUENCE_CORRID",
        ),
        (
            "control_input { name: 'a' control { int32_false_true: [0, 1] } }"
            " control_input { name: 'b' control { int32_false_true: [0, 1] } }",
            "specifies multiple tensors for start for m: a, b",
        ),
        (
            "control_input { name: 'a' control { int32_false_true: [0, 1] } }"
            " control_input { name: 'a' control { kind: CONTROL_SEQUENCE_END int32_false_true: [0, 1] } }",
            "uses tensors twice for m: a",
        ),
        ("state { input_name: 'a' data_type: TYPE_FP32 }", "needs input_name and output_name"),
        ("state { input_name: 'a' output_name: 'b' }", "needs a data_type"),
        (
            "state { input_name: 'a' output_name: 'b' data_type: TYPE_FP32 dims: 0 }",
            "dims must be >= 1 or -1",
        ),
        (STATE % "dims: [2, 1]", "initial_state expects zero_data or data_file"),
        (
            STATE % "dims: [3, 1] zero_data: true",
            r"dims \[3, 1\] of initial_state are not those of the state",
        ),
        (STATE % "dims: [2, -1] zero_data: true", "with a size for each -1"),
        (STATE % "data_type: TYPE_FP32 dims: [2, 1] zero_data: true", "another data_type than the state"),
        (STATE % "dims: [2, 1] zero_data: true } initial_state {", "may have one initial_state"),
        (STATE % "dims: [2, 9999999999] zero_data: true", "larger than 268435456 bytes"),
        ("oldest { max_candidate_sequences: -1 }", "max_candidate_sequences of m must not be negative"),
        ("oldest { preferred_batch_size: 0 }", "preferred batch size must be positive for m"),
        ("direct { minimum_slot_utilization: 1.5 }", r"must be in range \[0.0, 1.0\] for m"),
        ("direct { minimum_slot_utilization: nan }", r"must be in range \[0.0, 1.0\] for m"),
    ],
)
def test_what_cannot_be_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        batching(text)


def test_clients_do_not_send_what_the_server_fills_in() -> None:
    with pytest.raises(SettingsError, match="sequence batching of m fills in a, which clients send too"):
        rules(
            "input { name: 'a' } sequence_batching { control_input { name: 'a' control {"
            " int32_false_true: [0, 1] } } }"
        )
