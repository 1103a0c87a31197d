"""Ops from elsewhere: what is said of those that are missing, and how they are brought."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from hotgraph_server.errors import StartError
from hotgraph_server.graph.other_ops import bring, explained
from hotgraph_server.settings import OpsSettings

# As TensorFlow says it.
MISSING = (
    "Op type not registered '{}' in binary running on vm. Make sure the Op and Kernel are registered in the"
    " binary running in this process. Note that if you are loading a saved graph which used ops from"
    " tf.contrib"
)


class TestMissing:
    @pytest.mark.parametrize(
        ("op", "module"),
        [
            *((op, "tensorflow_text") for op in ("SentencepieceOp", "SentencepieceTokenizeOp")),
            *((op, "tensorflow_text") for op in ("WordpieceTokenizeWithOffsets", "RegexSplitWithOffsets")),
            *((op, "tensorflow_text") for op in ("CaseFoldUTF8", "NormalizeUTF8", "SentenceFragments")),
            ("TFText>FastWordpieceTokenizeWithOffsets", "tensorflow_text"),
            ("SimpleMLCreateModelResource", "tensorflow_decision_forests"),
            ("SimpleMLInferenceOpWithHandle", "tensorflow_decision_forests"),
            ("Addons>GroupNorm", "tensorflow_addons"),
            ("IO>DecodeJpegExif", "tensorflow_io"),
            ("DecodeProtoSparseV4", "struct2tensor"),
            ("EquiJoinIndices", "struct2tensor"),
            ("Scann>ScannSearch", "scann"),
        ],
    )
    def test_op_that_is_known_is_told_with_package_and_flag(self, op: str, module: str) -> None:
        said = explained(MISSING.format(op))
        assert said == (
            f"Op type not registered '{op}': it is one of {module}'s: pip install {module.replace('_', '-')},"
            f" and start with --import={module}"
        )

    def test_op_that_nobody_knows_is_told_with_both_flags(self) -> None:
        said = explained(MISSING.format("Zgamma"))
        assert said.startswith("Op type not registered 'Zgamma': ")
        assert "--import=MODULE" in said
        assert "--load-op-library=FILE" in said

    def test_package_that_is_there_and_too_old_is_not_to_be_installed_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "tensorflow_text", sys)
        assert explained(MISSING.format("SentencepieceOp")) == (
            "Op type not registered 'SentencepieceOp': it is one of tensorflow_text's, which was imported and"
            " does not have it in this version"
        )

    @pytest.mark.parametrize("text", ["", "No OpKernel was registered to support Op 'Sentencepiece'", "'Op'"])
    def test_what_is_about_something_else_stays(self, text: str) -> None:
        assert explained(text) == text


class TestBringing:
    @pytest.fixture
    def modules(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A folder that modules can be imported from."""
        monkeypatch.syspath_prepend(tmp_path)
        before = set(sys.modules)
        yield tmp_path
        for name in set(sys.modules) - before:
            del sys.modules[name]

    def test_modules_are_imported_in_their_order(self, modules: Path) -> None:
        (modules / "ops_one.py").write_text("told = ['one']")
        (modules / "ops_two.py").write_text("import ops_one\nops_one.told.append('two')")
        bring(OpsSettings(import_=("ops_one", "ops_two")))
        assert sys.modules["ops_one"].told == ["one", "two"]

    @pytest.mark.parametrize(
        ("source", "says"),
        [
            ("raise RuntimeError('first\\nsecond')", "first"),
            ("raise AttributeError", "AttributeError"),
            ("import nonesuch_of_mine", "No module named 'nonesuch_of_mine'"),
            ("import sys; sys.exit('no')", "no"),
            ("def", "invalid syntax"),
        ],
    )
    def test_module_that_breaks_is_one_line(self, modules: Path, source: str, says: str) -> None:
        (modules / "ops_broken.py").write_text(source)
        with pytest.raises(StartError) as raised:
            bring(OpsSettings(import_=("ops_broken",)))
        assert str(raised.value).startswith(f"--import ops_broken: {says}")
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("name", ["nonesuch_at_all", "", ".relative"])
    def test_module_that_is_none_is_one_line(self, name: str) -> None:
        with pytest.raises(StartError, match=rf"^--import {name}: .+"):
            bring(OpsSettings(import_=(name,)))

    def test_well_known_module_that_is_not_there_is_told_with_its_package(self) -> None:
        with pytest.raises(
            StartError, match=r"No module named 'struct2tensor' \(pip install struct2tensor\)$"
        ):
            bring(OpsSettings(import_=("struct2tensor",)))

    def test_libraries_are_loaded_by_their_full_paths(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By a name alone the system would look for it elsewhere."""
        loaded: list[str] = []
        monkeypatch.setattr(tf, "load_op_library", loaded.append)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "ops.so").touch()
        bring(OpsSettings(load_op_library=("ops.so", "~/ops.so")))
        assert loaded == [str(tmp_path / "ops.so")] * 2

    def test_library_that_is_none_is_one_line(self, tmp_path: Path) -> None:
        file = tmp_path / "ops.so"
        file.write_text("no library")
        with pytest.raises(StartError, match=rf"^--load-op-library {file}: .*(invalid ELF header|too short)"):
            bring(OpsSettings(load_op_library=(str(file),)))

    @pytest.mark.parametrize("name", ["nonesuch.so", "."])
    def test_library_that_is_not_there_is_one_line(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(StartError, match=rf"^--load-op-library {name}: no such file$"):
            bring(OpsSettings(load_op_library=(name,)))
