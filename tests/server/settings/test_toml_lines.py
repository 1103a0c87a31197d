"""Lines of keys, held against files that are written with them."""

from __future__ import annotations

import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.settings.toml_lines import line_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = '''\
# port = 1
port = 8500
text = """
port = 3
[models.none]
""" # and so on
"quoted key" = 'x'
state.dir = "/s"
list = [
  1,
  2,
]
one = \'\'\'in one line\'\'\'

  [models . "my.model"]
path = "/m"
[models.flowers]   # with a remark
max_batch_rows = 3
queue_policy = { max_queue_size = 3 }
[models.flowers.batching_by_signature]
one = "never"
'''


def test_keys_are_found_where_they_stand() -> None:
    tomllib.loads(TEXT)
    for path, line in (
        *((("port",), 2), (("text",), 3), (("quoted key",), 7), (("state", "dir"), 8), (("list",), 9)),
        *((("one",), 13), (("models", "my.model"), 15), (("models", "my.model", "path"), 16)),
        *((("models", "flowers"), 17), (("models", "flowers", "max_batch_rows"), 18)),
        (("models", "flowers", "queue_policy", "max_queue_size"), 19),
        (("models", "flowers", "batching_by_signature", "one"), 21),
    ):
        assert line_of(TEXT, path) == line, path


def test_what_is_not_there_is_on_its_tables_line_or_on_none() -> None:
    assert line_of(TEXT, ("models", "flowers", "nothing")) == 17
    assert line_of(TEXT, ("models", "none")) is None
    assert line_of(TEXT, ("nothing",)) is None
    assert line_of("", ()) is None


names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
values = st.one_of(
    st.integers(0, 99).map(str),
    st.sampled_from(['"text"', '"# no = remark"', "'''\nnot = 1\n[nor.this]\n'''", "[1,\n2]", '"""x = 1"""']),
)


@given(st.dictionaries(names, values), st.dictionaries(names, st.dictionaries(names, values)))
def test_every_key_of_a_file_is_found_on_its_line(top: dict[str, Any], tables: dict[str, Any]) -> None:
    text, expected = "", {}
    for table, keys in (("", top), *((name, keys) for name, keys in tables.items() if name not in top)):
        if table:
            text += f"[{table}]\n"
        for key, value in keys.items():
            expected[(table, key) if table else (key,)] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    tomllib.loads(text)
    assert {path: line_of(text, path) for path in expected} == expected


@given(st.text())
def test_any_text_may_be_looked_through(text: str) -> None:
    assert line_of(text, ("a", "b")) is None or "a" in text
