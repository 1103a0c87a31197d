"""``hotgraph inspect``: the report on a version, and code that runs as it stands."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hotgraph_server.commands.inspect import report
from hotgraph_server.model_config import config_file
from hotgraph_server.model_config.completion import contract_of
from hotgraph_server.model_config.translation import settings_from
from hotgraph_server.row_independence.verdict import Judgement, OutputJudgement, Verdict
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.warmup.plan import AS_SAVED

from ..protocols.fakes import (
    FakeGraph,
    Models,
    add_and_subtract,
    float_signature,
    identity,
    identity_signature,
    spec,
)


@pytest.fixture
def models() -> Iterator[Models]:
    models = Models()
    yield models
    models.stop()


def lines(models: Models, graph: FakeGraph, *, others: list[int] | None = None) -> list[str]:
    return list(report(models.add("m", 3, graph), Path("/models/m/3"), others or []))


def code(models: Models, *signatures: Signature) -> str:
    """The Python of the report."""
    # Of no consequence what the graph does: it is alone with its input.
    text = lines(models, FakeGraph(*((signature, identity) for signature in signatures)))
    start = next(index for index, line in enumerate(text) if line.startswith("  import "))
    return "\n".join(line[2:] for line in text[start : text.index("", text.index("", start) + 1)])


def test_report_names_model_version_folder_signature_and_tensors(models: Models) -> None:
    text = lines(models, FakeGraph((float_signature(), add_and_subtract)), others=[1, 2])
    assert text[:10] == [
        "m, version 3 (not served: 1, 2)",
        "/models/m/3",
        "",
        "signature serving_default  (the default)",
        "  in   x           FP32     [?, 2]",
        "  in   y           FP32     [?, 2]",
        "  out  sum         FP32     [?, 2]",
        "  out  difference  FP32     [?, 2]",
        f"  runs {AS_SAVED}",
        "  calls share batches: tried, not proven",
    ]


def test_reason_to_run_alone_is_told(models: Models) -> None:
    text = lines(models, FakeGraph((identity_signature(np.float32, 3), identity)))
    assert "  each call runs alone: input 'x' has no free dimension 0" in text


def test_input_with_a_default_may_be_left_out(models: Models) -> None:
    signature = float_signature(defaults={"y": np.zeros((1, 2), np.float32)})
    text = lines(models, FakeGraph((signature, add_and_subtract)))
    assert "  in   y           FP32     [?, 2]  may be left out" in text
    assert "  in   x           FP32     [?, 2]" in text


def test_signatures_that_cannot_be_called_are_listed_with_the_reason(models: Models) -> None:
    graph = FakeGraph(
        (identity_signature(np.int32, None), identity), unusable={"init": "output 'noop' has no dtype"}
    )
    text = lines(models, graph)
    at = text.index("cannot be called")
    assert text[at - 1 : at + 3] == ["", "cannot be called", "  init: output 'noop' has no dtype", ""]


@pytest.mark.parametrize(
    ("shape", "shown"), [((), "[]"), ((None, 3), "[?, 3]"), ((2,), "[2]"), (None, "any shape")]
)
def test_shape_is_shown_with_a_question_mark_for_what_is_free(models: Models, shape: Any, shown: str) -> None:
    tensor = TensorSpec("x", "x:0", np.dtype(np.int8), shape)
    text = lines(models, FakeGraph((Signature("serving_default", (tensor,), (tensor,)), identity)))
    assert f"  in   x  INT8     {shown}" in text


def test_dtype_that_one_protocol_cannot_carry_has_tensorflows_name(models: Models) -> None:
    text = lines(models, FakeGraph((identity_signature(np.complex64, None), identity)))
    assert "  in   x  complex64  [?]" in text


@pytest.mark.parametrize(
    "dtype",
    [np.bool_, np.int8, np.uint64, np.float16, np.float32, np.complex64, ml_dtypes.bfloat16, object],
    ids=lambda dtype: np.dtype(dtype).name,
)
def test_code_makes_an_input_of_exactly_the_dtype_and_shape(models: Models, dtype: Any) -> None:
    program = ast.parse(code(models, identity_signature(dtype, None, 3)))
    (inputs,) = [node for node in ast.walk(program) if isinstance(node, ast.Dict)]
    made = eval(compile(ast.Expression(inputs), "report", "eval"), {"np": np, "ml_dtypes": ml_dtypes})
    assert made["x"].dtype == np.dtype(dtype)
    assert made["x"].shape == (1, 3)


def test_code_names_what_it_uses(models: Models) -> None:
    """Every name in the code is imported or made in it, so that it runs as it stands."""
    for dtype in (np.float32, ml_dtypes.bfloat16):
        fresh = Models()
        program = ast.parse(code(fresh, identity_signature(dtype, None)))
        fresh.stop()
        known = {"print"}
        for node in ast.walk(program):
            if isinstance(node, ast.Import | ast.ImportFrom):
                known |= {alias.asname or alias.name for alias in node.names}
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
        used = {node.id for node in ast.walk(program) if isinstance(node, ast.Name)}
        assert used <= known


def test_code_names_the_signature_only_where_there_is_no_default(models: Models) -> None:
    assert "signature=" not in code(models, identity_signature(np.float32, None))
    fresh = Models()
    two = [identity_signature(np.float32, None, name=name) for name in ("a", "b")]
    text = lines(fresh, FakeGraph(*((signature, identity) for signature in two)))
    fresh.stop()
    assert any('signature="a")' in line for line in text)
    assert any(line.startswith("  hotgraph predict") and line.endswith("--signature a") for line in text)
    assert any(line.startswith("  curl") and '"parameters": {"signature_name": "a"}' in line for line in text)


def test_command_line_names_every_input(models: Models) -> None:
    text = lines(models, FakeGraph((float_signature(), add_and_subtract)))
    assert text[-1] == "  hotgraph predict 127.0.0.1:8500 m --input 'x=[[0, 0]]' --input 'y=[[0, 0]]'"


def test_curl_sends_what_the_signature_takes(models: Models) -> None:
    text = lines(models, FakeGraph((float_signature(), add_and_subtract)))
    command = next(line for line in text if line.startswith("  curl "))
    _, flag, body, url = shlex.split(command)
    assert (flag, url) == ("-d", "http://127.0.0.1:8502/v2/models/m/infer")
    assert json.loads(body) == {
        "inputs": [{"name": name, "datatype": "FP32", "shape": [1, 2], "data": [0, 0]} for name in ("x", "y")]
    }


def test_what_no_line_of_json_can_carry_is_tried_in_a_browser(models: Models) -> None:
    text = lines(models, FakeGraph((identity_signature(np.float32, 17), identity)))
    assert not [line for line in text if line.startswith("  curl")]
    assert any(line.endswith(" http://127.0.0.1:8502/docs") for line in text)
    fresh = Models()
    text = lines(fresh, FakeGraph((identity_signature(np.complex64, None), identity)))
    fresh.stop()
    assert not [line for line in text if line.startswith("  curl")]


def test_report_on_a_model_that_takes_nothing(models: Models) -> None:
    constant = Signature("serving_default", (), (spec("x", np.float32, 1),))
    text = lines(models, FakeGraph((constant, lambda: {"x": np.array([4], np.float32)})))
    assert "  each call runs alone: it has no inputs, so there are no rows to join" in text
    assert any('client.predict("m", {})' in line for line in text)


def test_contract_is_shown_where_the_model_brings_a_configuration(models: Models) -> None:
    version = models.add("m", 3, FakeGraph((float_signature(), add_and_subtract)))
    config = config_file.parse(
        """
        max_batch_size: 8
        input { name: "x" data_type: TYPE_FP32 dims: [2, 1] reshape { shape: 2 } }
        input { name: "y" dims: 2 }
        output { name: "sum" data_type: TYPE_FP32 dims: 2 }
        instance_group { count: 2 }
        """,
        "config.pbtxt",
    )
    settings, remarks = settings_from(config, ModelSettings("m", Path("/models/m")))
    version.contract = contract_of(
        settings, version.title, version.signatures, version.unusable, version.unbatched_reasons
    )
    text = list(report(version, Path("/models/m/3"), [], remarks))
    start = text.index("contract with clients (config.pbtxt)")
    assert text[start + 1 : start + 5] == [
        "  a batch dimension before all shapes below, 8 rows at most",
        "  in   x    TYPE_FP32    [2, 1] here, [2] in the model",
        "  in   y    TYPE_FP32    [2]",
        "  out  sum  TYPE_FP32    [2]",
    ]
    assert text[start + 5].startswith("  model 'm': instance_group[0].count above 1 has no meaning here")
    # The code gives the shapes that clients send.
    assert any('"x": np.zeros([1, 2, 1], np.float32)' in line for line in text)


def test_padding_is_shown(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    version = models.add("m", 3, FakeGraph((float_signature(), add_and_subtract)))
    version.padded = {"serving_default": frozenset({("y", 1), ("x", 1)})}
    text = list(report(version, Path("/models/m/3"), []))
    assert "  calls that differ in x.1, y.1 are padded and share batches too" in text


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Verdict.PROVEN, "proven by the graph's structure"),
        (Verdict.REFUTED, "refuted by the graph's structure: mean (Mean) meets"),
        (Verdict.UNKNOWN, "not to be told by the graph's structure: mean (Mean) meets"),
    ],
)
def test_what_structure_proves_is_told_to_whoever_asks(models: Models, verdict: Verdict, told: str) -> None:
    version = models.add("m", 3, FakeGraph((identity_signature(np.int32, None), identity)))
    reason = "" if verdict is Verdict.PROVEN else "mean (Mean) meets"
    (name,) = version.signatures
    outputs = dict.fromkeys(version.signatures[name].output_aliases, OutputJudgement(verdict))
    version.proofs = {name: Judgement(verdict, outputs, reason)}
    shown = list(report(version, Path("/m/3"), [], explains=True))
    assert f"  that rows are independent is {told}" in shown
    how = "proven by structure" if verdict is Verdict.PROVEN else "tried, not proven"
    assert f"  calls share batches: {how}" in shown
    assert not [line for line in report(version, Path("/m/3"), []) if "independent" in line]
