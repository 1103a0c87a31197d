"""KServe's InferenceGRPCClient, unchanged, against the server; kserve_calls.py makes the calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def found(address: str) -> Any:
    program = Path(__file__).with_name("kserve_calls.py")
    run = subprocess.run([sys.executable, str(program), address], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_server_and_model_are_ready(found: Any) -> None:
    assert found["live"]
    assert found["ready"]
    assert found["model ready"]


@pytest.mark.parametrize("binary", [True, False])
def test_raw_and_typed_requests_get_their_answers(found: Any, binary: bool) -> None:
    assert found[f"sums, binary={binary}"] == {"sum": [[5, 7, 9]], "product": [[4, 10, 18]]}
    assert found[f"upper, binary={binary}"] == ["ABC", ""]


def test_many_calls_at_once(found: Any) -> None:
    assert found["rows of probabilities"] == pytest.approx([1] * 50)


def test_unknown_model_is_not_found(found: Any) -> None:
    code, details = found["unknown model"]
    assert code == "NOT_FOUND"
    assert "Request for unknown model: 'nobody' is not found" in details
