"""How many templates are kept, which ones, and how often learning is tried."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.protocols.template import Template, learn
from hotgraph_server.protocols.template_cache import MAX_OF_A_LENGTH, MAX_TEMPLATES, KnownTemplates
from hotgraph_server.transport.message_fields import Span

from ..fakes import HANG_S, switching_often


def form(name: str, values: int = 1) -> bytes:
    """A message called `name` with a span of `values` bytes."""
    return name.encode() + bytes(values)


def template(message: bytes, meaning: str, values: int = 1) -> Template[str]:
    at = len(message) - values
    found = learn(message, meaning, [np.zeros(values, np.uint8)], [Span(at, values)])
    assert found is not None
    return found


def known(*names: str) -> KnownTemplates[str]:
    templates: KnownTemplates[str] = KnownTemplates()
    for name in names:
        templates.add(template(form(name), name))
    return templates


def found(templates: KnownTemplates[str], name: str, values: int = 1) -> str | None:
    hit = templates.find(form(name, values))
    return None if hit is None else hit.meaning


def passed_until_wanted(templates: KnownTemplates[str]) -> int:
    """How many messages pass before one is to be learned."""
    passed = 0
    while not templates.wants_more():
        passed += 1
    return passed


def test_forms_of_one_length_and_of_others_live_side_by_side() -> None:
    templates = known("aa", "bb", "c", "dddd")
    assert [found(templates, name) for name in ("aa", "bb", "c", "dddd")] == ["aa", "bb", "c", "dddd"]
    assert found(templates, "ab") is None
    assert found(templates, "ddd") is None


def test_equal_messages_about_something_else_are_other_forms() -> None:
    templates = known("a")
    message = form("a")
    for about in ("m", ("m", 3)):
        learned = learn(message, str(about), [np.zeros(1, np.uint8)], [Span(1, 1)], about=about)
        templates.add(learned)
    for about, meaning in ((None, "a"), ("m", "m"), (("m", 3), "('m', 3)"), ("n", None)):
        hit = templates.find(message, about)
        assert (None if hit is None else hit.meaning) == meaning
    assert len(templates) == 3


def test_what_a_form_means_now_replaces_what_it_meant() -> None:
    templates = known("a")
    templates.add(template(form("a"), "new"))
    assert found(templates, "a") == "new"
    assert len(templates) == 1


def test_an_idle_template_makes_room_for_another_of_its_length() -> None:
    names = [f"{index:03}" for index in range(MAX_OF_A_LENGTH)]
    templates = known(*names)
    assert found(templates, names[0]) is not None
    templates.add(template(form("new"), "new"))
    assert [name for name in (*names, "new") if found(templates, name) is None] == [names[1]]


def test_templates_in_use_are_not_driven_out_until_they_are_idle() -> None:
    names = [f"{index:03}" for index in range(MAX_OF_A_LENGTH)]
    templates = known(*names)
    for name in names:
        assert found(templates, name) is not None
    templates.add(template(form("new"), "new"))
    # All were in use, so the newcomer was refused, and they have to show again that they are.
    assert found(templates, "new") is None
    for name in names[1:]:
        assert found(templates, name) is not None
    templates.add(template(form("new"), "new"))
    assert found(templates, "new") == "new"
    assert found(templates, names[0]) is None


def test_no_more_are_kept_than_the_bound() -> None:
    templates = known(*("x" * index for index in range(1, MAX_TEMPLATES + 20)))
    assert len(templates) == MAX_TEMPLATES
    assert found(templates, "x" * (MAX_TEMPLATES + 19)) is not None
    assert found(templates, "x") is None


def test_learning_for_nothing_makes_it_rarer_and_a_use_makes_it_common_again() -> None:
    templates = known("a")
    pauses = []
    for _ in range(12):
        templates.add(None)
        pauses.append(passed_until_wanted(templates))
    assert pauses == [1, 3, 7, 15, 31, 63, 127, 255, 256, 256, 256, 256]
    assert found(templates, "a") == "a"
    assert passed_until_wanted(templates) == 0


def test_forms_that_never_come_again_make_learning_rarer() -> None:
    templates = known(*(f"{index:03}" for index in range(MAX_OF_A_LENGTH)))
    assert passed_until_wanted(templates) == 0
    for index in range(3):
        templates.add(template(form(f"n{index:02}"), "new"))
    assert passed_until_wanted(templates) == 7


@given(st.lists(st.tuples(st.sampled_from(["add", "find"]), st.integers(0, 20), st.integers(1, 3))))
def test_whatever_happens_a_message_finds_the_last_meaning_of_its_form_or_none(
    steps: list[tuple[str, int, int]],
) -> None:
    templates: KnownTemplates[str] = KnownTemplates()
    latest: dict[tuple[int, int], str] = {}
    for number, (step, name, values) in enumerate(steps):
        message = form(f"{name:02}", values)
        if step == "add":
            templates.add(template(message, f"meaning {number}", values))
            latest[name, values] = f"meaning {number}"
        hit = templates.find(message)
        assert hit is None or hit.meaning == latest[name, values]
        assert len(templates) <= min(MAX_TEMPLATES, 3 * MAX_OF_A_LENGTH)


def test_threads_that_look_and_threads_that_learn_do_not_disturb_each_other() -> None:
    templates: KnownTemplates[str] = KnownTemplates()
    names = [f"{index:02}" for index in range(2 * MAX_OF_A_LENGTH)]
    wrong: list[object] = []

    def learn_all() -> None:
        try:
            for _ in range(20):
                for name in names:
                    templates.add(template(form(name), name))
        except BaseException as error:
            wrong.append(error)

    def look() -> None:
        try:
            for _ in range(100):
                wrong.extend(name for name in names if found(templates, name) not in (None, name))
        except BaseException as error:
            wrong.append(error)

    with switching_often():
        threads = [threading.Thread(target=target) for target in (learn_all, learn_all, look, look)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
            assert not thread.is_alive()
    assert not wrong
    assert len(templates) == MAX_OF_A_LENGTH
