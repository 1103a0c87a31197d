"""Where the snapshots of a model lie, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.state.identity import folder_name, folder_of

NAMES = st.sampled_from(
    ["..", ".", ".hidden", "/", "/etc", "a/../../b", "%2F", "%", "a%~b", "con:", "\\"]
) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(NAMES)
def test_whatever_a_model_is_called_its_snapshots_lie_in_a_folder_of_the_state_dir(name: str) -> None:
    folder = folder_of(Path("/s"), name, 1, "0" * 32)
    assert folder.parts[:2] == ("/", "s")
    assert len(folder.parts) == 4
    assert ".." not in folder.parts
    assert "\0" not in str(folder)
    assert all(len(part.encode()) <= 255 for part in folder.parts)


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_no_two_models_have_the_same_folder(names: list[str]) -> None:
    assert folder_name(names[0]) != folder_name(names[1])
    assert folder_name(f"{'ü' * 200}{names[0]}") != folder_name(f"{'ü' * 200}{names[1]}")


@pytest.mark.parametrize("name", ["m", "M-1_b.c", "_x", "with space", "ümlaut"])
def test_usual_name_is_the_folders(name: str) -> None:
    assert folder_name(name) == name
