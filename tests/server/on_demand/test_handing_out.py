"""Calls go on in threads of their own, and whoever decides hears when they have."""

from __future__ import annotations

import math
import threading

import pytest

from hotgraph_server.on_demand.handing_out import HandingOut
from hotgraph_server.on_demand.waiting import Waiter

from ..fakes import HANG_S, until


def test_calls_of_two_models_go_on_beside_each_other_each_in_their_order() -> None:
    over, went = list[int](), list[str]()
    handing_out = HandingOut(lambda: over.append(1))
    gate = threading.Event()

    def waiter(name: str, held: bool = False) -> Waiter:
        def go_on() -> None:
            if held:
                assert gate.wait(HANG_S)
            went.append(name)

        return Waiter(name[0], 0.0, math.inf, go_on, lambda error: None)

    handing_out.start("a", [waiter("a1", held=True), waiter("a2")])
    handing_out.start("b", [waiter("b1"), waiter("b2")])
    until(lambda: went == ["b1", "b2"])
    until(lambda: handing_out.models == {"a"})
    gate.set()
    until(lambda: not handing_out.models)
    assert went == ["b1", "b2", "a1", "a2"]
    until(lambda: len(over) == 2)
    handing_out.stop(HANG_S)


def test_one_that_breaks_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    went = list[str]()
    handing_out = HandingOut(lambda: None)

    def breaks() -> None:
        raise ZeroDivisionError

    broken = Waiter("m", 0.0, math.inf, breaks, lambda error: None)
    whole = Waiter("m", 0.0, math.inf, lambda: went.append("on"), lambda error: None)
    handing_out.start("m", [broken, whole])
    until(lambda: went == ["on"])
    until(lambda: not handing_out.models)
    handing_out.stop(HANG_S)
    assert "could not go on" in caplog.text
