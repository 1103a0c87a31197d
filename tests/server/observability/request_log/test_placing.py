from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import ConfigError, SettingsError
from hotgraph_server.observability.request_log.placing import checked_folder, placed
from hotgraph_server.settings import LogSettings, ModelSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    path.mkdir()
    found = checked_folder(str(path))
    assert found is not None
    return found


def place(prefix: str, folder: Path | None) -> str:
    model = ModelSettings("m", Path("/m"), log=LogSettings(prefix, 0.5))
    (found,) = placed([model], folder)
    assert found.log is not None
    assert found.log.sampling_rate == 0.5
    return found.log.prefix


def test_without_a_folder_a_log_is_refused_and_a_model_without_one_is_not() -> None:
    plain = ModelSettings("m", Path("/m"))
    assert placed([plain], None) == [plain]
    with pytest.raises(ConfigError, match=r"^logging_config of model n: .*--request-log-dir"):
        placed([plain, ModelSettings("n", Path("/n"), log=LogSettings("/a", 1))], None)


def test_prefix_is_in_the_folder(folder: Path) -> None:
    assert place("a", folder) == f"{folder}/a"
    assert place("m/1/a b", folder) == f"{folder}/m/1/a b"
    assert place(f"{folder}/m/a", folder) == f"{folder}/m/a"
    assert place("gs://bucket/a", folder) == f"{folder}/gs:/bucket/a"
    assert place("..a", folder) == f"{folder}/..a"


@pytest.mark.parametrize(
    "prefix",
    [
        *("/tmp/a", "/a", "../a", "a/../../a", "a/../b", "./a", "..", ".", "/", "a/", "//a", "///a"),
        *("~/../a/", "a\0b", "a\nb", "a\u202eb", "a" * 201, f"{'a' * 201}/a", "{folder}", "{folder}x/a"),
        *("{folder}/../a", "{folder}/..", "file:///tmp/../a"),
    ],
)
def test_prefix_that_leads_elsewhere_is_refused(folder: Path, prefix: str) -> None:
    prefix = prefix.replace("{folder}", str(folder))
    with pytest.raises(ConfigError, match=r"^logging_config of model m: filename_prefix ") as error:
        place(prefix, folder)
    assert str(error.value).isascii()


def test_link_out_of_the_folder_is_refused_and_one_within_it_followed(folder: Path) -> None:
    (folder / "out").symlink_to(folder.parent)
    (folder / "in").symlink_to("real")
    (folder / "real").mkdir()
    (folder / "loop").symlink_to("loop")
    assert place("in/a", folder) == f"{folder}/real/a"
    assert place("real/a", folder) == f"{folder}/real/a"
    for prefix in ("out/a", "out/logs/../a", "out/b/c/a", f"{folder}/out/a"):
        with pytest.raises(ConfigError):
            place(prefix, folder)
    # Out, and in again: it is the folder after all.
    assert place("out/logs/a", folder) == f"{folder}/a"


def test_folder_that_is_a_link_itself_is_what_it_leads_to(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert checked_folder(str(link)) == folder


def test_folder_that_is_none_is_told(tmp_path: Path) -> None:
    assert checked_folder("") is None
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(SettingsError, match=r"^request-log-dir .*: there is no such folder$"):
            checked_folder(str(path))


@given(
    st.text(min_size=1)
    | st.lists(st.sampled_from(["..", ".", "a", "", "/", "~"]), min_size=1).map("/".join).filter(bool)
)
def test_no_prefix_leads_elsewhere(prefix: str) -> None:
    folder = Path("/nowhere/at/all")
    try:
        found = place(prefix, folder)
    except ConfigError:
        return
    assert Path(found).is_relative_to(folder)
    assert ".." not in Path(found).parts
    assert Path(found) != folder
