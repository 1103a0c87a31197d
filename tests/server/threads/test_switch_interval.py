from __future__ import annotations

import sys

import pytest

from hotgraph_server.threads.switch_interval import GivingWay


def test_threads_change_often_until_the_last_one_has_left() -> None:
    usual, giving_way = sys.getswitchinterval(), GivingWay()
    with giving_way():
        short = sys.getswitchinterval()
        with giving_way():
            assert sys.getswitchinterval() == short
        assert sys.getswitchinterval() == short
    assert short < usual
    assert sys.getswitchinterval() == usual


def test_it_ends_with_an_error_too() -> None:
    usual = sys.getswitchinterval()
    with pytest.raises(ValueError, match="broken"), GivingWay()():
        raise ValueError("broken")
    assert sys.getswitchinterval() == usual


def test_what_is_shorter_already_stays_so() -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with GivingWay()():
            assert sys.getswitchinterval() == pytest.approx(1e-6)
    finally:
        sys.setswitchinterval(usual)
