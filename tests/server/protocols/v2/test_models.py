"""Which version and signature a request means."""

from __future__ import annotations

import pytest

from hotgraph_server.errors import InvalidCall, NotFound, NotReady
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.protocols.v2.models import find, requested_number, signature_of

from ..fakes import RecordingVersion, float_signature


def registry(*numbers: int) -> Registry:
    found = Registry()
    found.publish(RecordingVersion("m", number, float_signature("only")) for number in numbers)
    return found


@pytest.mark.parametrize(
    ("sent", "number"), [("", None), ("0", 0), ("7", 7), ("007", 7), ("9" * 18, 10**18 - 1)]
)
def test_version_is_a_number_or_the_highest(sent: str, number: int | None) -> None:
    assert requested_number(sent) == number


@pytest.mark.parametrize("sent", ["-1", "x", "1.0", " 1", "+1", "9" * 19, "\N{ARABIC-INDIC DIGIT ONE}"])
def test_version_that_is_no_number_is_refused(sent: str) -> None:
    with pytest.raises(InvalidCall):
        requested_number(sent)


def test_without_a_number_the_highest_that_is_live_is_meant() -> None:
    models = registry(1, 2, 3)
    models.table["m"][3].state = State.DRAINING
    assert find(models, "m", None).number == 2
    assert find(models, "m", 1).number == 1


def test_version_that_is_not_there_or_not_live_is_refused_by_name() -> None:
    models = registry(1)
    with pytest.raises(NotFound, match="unknown model: 'x' is not found"):
        find(models, "x", 1)
    with pytest.raises(NotFound, match="unknown model: 'm' version 2 is not found"):
        find(models, "m", 2)
    models.table["m"][1].state = State.DRAINING
    with pytest.raises(NotReady, match="is not at ready state"):
        find(models, "m", None)


def test_signature_without_a_name_is_the_default_one() -> None:
    one = RecordingVersion("m", 1, float_signature("only"))
    assert signature_of(one, "").name == signature_of(one, "only").name == "only"
    with pytest.raises(InvalidCall, match=r"has no signature 'x'; .* takes one of \['only'\]"):
        signature_of(one, "x")
    several = RecordingVersion("m", 1, float_signature("a"), float_signature("b"))
    with pytest.raises(InvalidCall, match="has no default signature"):
        signature_of(several, "")
