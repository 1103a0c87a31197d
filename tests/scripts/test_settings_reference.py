"""docs/settings.md is what the settings' fields say, and says what 0 means of each number."""

from __future__ import annotations

from hotgraph_server.settings import PER_MODEL, PER_SERVER, fields_of, key_of
from hotgraph_server.settings.environment import variable_of
from hotgraph_server.settings.fields import Count
from settings_reference import PAGE, page, zero_means


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run scripts/generate-settings-reference"


def test_every_setting_has_a_row_with_its_names() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    fields = list(fields_of(*PER_SERVER, *PER_MODEL))
    assert len(rows) == len(fields)
    for row, field in zip(rows, fields, strict=True):
        cells = [cell.strip() for cell in row.split(" | ")]
        flag = "--" + key_of(field).replace("_", "-")
        assert cells[0] == f"| `{key_of(field)}`"
        assert (f"`{flag}`" in cells[1]) == field.metadata["flag"]
        assert cells[2] == f"`{variable_of(field)}`"


def test_help_of_every_number_says_what_0_means_unless_0_is_refused() -> None:
    silent = [
        key_of(field)
        for owner in (*PER_SERVER, *PER_MODEL)
        for field in fields_of(owner)
        if field.metadata["kind"] in (int, float, Count) and not zero_means(owner, field)
    ]
    assert not silent, 'say it in the help of these: "...; 0: no limit"'


def test_what_zero_means_is_taken_from_the_help() -> None:
    fields = {key_of(field): (owner, field) for owner in PER_SERVER for field in fields_of(owner)}
    assert zero_means(*fields["rest_timeout_ms"]) == "no limit"
    assert zero_means(*fields["max_calls"]) == "refused"
    assert zero_means(*fields["trace_count"]) == "none"
    assert zero_means(*fields["host"]) == ""
