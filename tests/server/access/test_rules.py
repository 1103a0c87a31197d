from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.access.groups import Group
from hotgraph_server.access.keys import digest_of, hashed, new_key
from hotgraph_server.access.rules import Rules, read_rules, rules_in
from hotgraph_server.errors import AccessDenied, CallError, SettingsError, Unauthenticated

INFERS, CONTROLS, BOTH = (new_key() for _ in range(3))
RULES = f"""
[groups.infer]
keys = ["{hashed(INFERS)}", "{hashed(BOTH)}"]
[groups.control]
keys = ["{hashed(CONTROLS)}", "{hashed(BOTH)}"]
[groups.state]
closed = true
[groups.admin]
closed = false
keys = ["{hashed(CONTROLS)}"]
"""


def asked(rules: Rules, group: Group, authorization: str | None) -> CallError | None:
    headers = {} if authorization is None else {"authorization": authorization}
    return rules.refusal(group, headers.get)


def test_key_opens_the_groups_that_list_it_and_no_other() -> None:
    rules = rules_in(RULES, "f")
    for key, opens in (
        (INFERS, {Group.INFER}),
        (CONTROLS, {Group.CONTROL, Group.ADMIN}),
        (BOTH, {Group.INFER, Group.CONTROL}),
    ):
        for group in Group:
            refusal = asked(rules, group, f"Bearer {key}")
            if group in opens or group is Group.METADATA:
                assert refusal is None
            else:
                assert isinstance(refusal, AccessDenied)
                assert group.value in str(refusal)
                assert key not in str(refusal)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic x", "Bearer stranger", "infers"])
def test_no_key_and_one_of_nobody_are_not_authenticated(authorization: str | None) -> None:
    rules = rules_in(RULES, "f")
    refusal = asked(rules, Group.INFER, authorization)
    assert isinstance(refusal, Unauthenticated)
    assert "'infer'" in str(refusal)
    assert "stranger" not in str(refusal)
    # What is open is so for everybody.
    assert asked(rules, Group.METADATA, authorization) is None


def test_closed_group_is_closed_to_every_key() -> None:
    rules = rules_in(RULES, "f")
    for authorization in (None, f"Bearer {BOTH}", f"Bearer {new_key()}"):
        refusal = asked(rules, Group.STATE, authorization)
        assert isinstance(refusal, AccessDenied)
        assert "'state' of methods is closed" in str(refusal)


def test_hash_itself_is_no_key() -> None:
    refusal = asked(rules_in(RULES, "f"), Group.INFER, f"Bearer {hashed(INFERS)}")
    assert isinstance(refusal, Unauthenticated)


def test_no_rules_leave_all_open() -> None:
    assert all(Rules().is_open(group) and asked(Rules(), group, None) is None for group in Group)


@pytest.mark.parametrize("text", ["", "[groups]", "# nothing"])
def test_file_that_says_nothing_opens_nothing(text: str) -> None:
    with pytest.raises(SettingsError, match="f: no rules are in it"):
        rules_in(text, "f")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[groups", "f: no valid TOML: "),
        ("[group.infer]", "f: unknown key 'group'; rules are tables [groups.NAME]"),
        ("groups = 1", "f: groups are tables [groups.NAME]"),
        (
            "[groups.inference]\nclosed = true",
            "f: unknown group 'inference'; there are infer, metadata, control, state, admin",
        ),
        ("[groups]\ninfer = true", "f: [groups.infer] must be a table"),
        ("[groups.infer]\nkey = []", "f: [groups.infer]: unknown key 'key'; known are keys, closed"),
        ("[groups.infer]", "f: [groups.infer] needs keys = "),
        ("[groups.infer]\nkeys = []", "f: [groups.infer] needs keys = "),
        ("[groups.infer]\nclosed = false", "f: [groups.infer] needs keys = "),
        ("[groups.infer]\nclosed = 1", "f: [groups.infer]: closed must be true or false, got 1"),
        ('[groups.infer]\nclosed = "no"', "f: [groups.infer]: closed must be true or false, got 'no'"),
        (
            '[groups.infer]\nclosed = true\nkeys = ["{hash}"]',
            "f: [groups.infer]: a group that is closed has no keys",
        ),
        ('[groups.infer]\nkeys = "{hash}"', "f: [groups.infer] needs keys = "),
        ('[groups.infer]\nkeys = ["{hash}", 1]', "f: [groups.infer]: entry 2 of keys is no hash"),
    ],
)
def test_mistake_is_told_with_file_and_key(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        rules_in(text.replace("{hash}", hashed(INFERS)), "f")
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("text", ['[groups.infer]\nkeys = ["{}"]', '[groups]\ninfer = "{}"', 'groups = "{}"'])
def test_key_that_was_written_down_as_it_is_is_not_shown(text: str) -> None:
    with pytest.raises(SettingsError) as error:
        rules_in(text.format(INFERS), "f")
    assert INFERS not in str(error.value)


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"auth\.toml: No such file"):
        read_rules(tmp_path / "auth.toml")
    (tmp_path / "auth.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"auth\.toml: no text"):
        read_rules(tmp_path / "auth.toml")


HEX = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
TABLES = st.one_of(
    st.just("closed = true"),
    st.lists(HEX, min_size=1, max_size=4).map(lambda keys: f"keys = {keys}".replace("'", '"')),
)


@given(st.dictionaries(st.sampled_from(list(Group)), TABLES, min_size=1))
def test_what_is_written_is_what_holds(tables: dict[Group, str]) -> None:
    text = "\n".join(f"[groups.{group.value}]\n{table}" for group, table in tables.items())
    rules = rules_in(text, "f")
    for group in Group:
        assert rules.is_open(group) == (group not in tables)
        listed = [one.lower() for one in tables.get(group, "").split('"') if one.startswith("sha256:")]
        assert [f"sha256:{digest.hex()}" for digest in rules.keys.get(group, ())] == listed


WORDS = st.sampled_from(
    ["[groups.infer]", "[groups.x]", "[groups]", "closed", "keys", "=", "true", "[]", '""', "{}", "\n", "1"]
)


@given(st.lists(WORDS | st.text(string.printable, max_size=5)).map(" ".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        rules = rules_in(text, "f")
    except SettingsError:
        return
    # Nobody's key opens anything that was not left open.
    stranger = f"Bearer {new_key()}"
    for group in rules.keys:
        assert asked(rules, group, stranger) is not None


def test_digest_and_not_the_key_is_kept() -> None:
    rules = rules_in(RULES, "f")
    assert digest_of(CONTROLS) in rules.keys[Group.CONTROL]
    assert CONTROLS not in repr(rules)
