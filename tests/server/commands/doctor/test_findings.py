"""What a doctor has found, as people and programs read it."""

from __future__ import annotations

from hotgraph_server.commands.doctor.findings import Examination, Kind, Subject, document, lines


def examination(*kinds: Kind) -> Examination:
    server, model = Subject(""), Subject("m")
    server.add(Kind.BETTER, "health is on")
    for kind in kinds:
        model.add(kind, f"it is\n {kind.value}")
    return Examination("hotgraph serve", [server, model])


def test_what_has_to_be_changed_comes_first_and_makes_it_unfit() -> None:
    found = examination(Kind.SAME, Kind.DIFFERENT, Kind.CHANGE)
    text = list(lines(found))
    assert not found.is_fit
    assert text[text.index("model m: 1 to change") + 1] == "  CHANGE   it is change"
    assert "0 of 1 models are served as they are; start, when nothing is left to change, with:" in text
    assert text[-1] == "  hotgraph serve"


def test_what_differs_is_served() -> None:
    found = examination(Kind.SAME, Kind.DIFFERENT)
    assert found.is_fit
    assert "model m: served, 1 different" in list(lines(found))
    assert "1 of 1 models are served as they are; start with:" in list(lines(found))
    assert "model m: served as it was" in list(lines(examination(Kind.SAME, Kind.BETTER)))


def test_every_kind_is_in_both_reports() -> None:
    found = examination(*Kind)
    assert len([line for line in lines(found) if "it is" in line]) == len(Kind)
    subject = document(found)["subjects"][1]
    assert subject == {"model": "m", **{kind.value: [f"it is {kind.value}"] for kind in Kind}}
    assert document(found)["fit"] is False
