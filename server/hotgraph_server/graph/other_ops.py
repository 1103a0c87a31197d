"""Ops that TensorFlow itself does not have: bringing them, and saying who has them.

A library of ops is code that runs in this process with all its rights. So it is brought at its owner's word
alone, by flag or settings file, before anything is loaded: a model that needs one says which, and gets none.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from typing import NamedTuple

from hotgraph_server.errors import StartError, first_line
from hotgraph_server.settings import OpsSettings


class _Package(NamedTuple):
    """Who has ops: by what name Python imports it, and by what name pip installs it."""

    module: str
    distribution: str


_TEXT = _Package("tensorflow_text", "tensorflow-text")
_STRUCTS = _Package("struct2tensor", "struct2tensor")
_COMPRESSION = _Package("tensorflow_compression", "tensorflow-compression")

# The beginnings of names that are all of one package's.
_BY_PREFIX = {
    "TFText>": _TEXT,
    "Sentencepiece": _TEXT,
    "SimpleML": _Package("tensorflow_decision_forests", "tensorflow-decision-forests"),
    "Addons>": _Package("tensorflow_addons", "tensorflow-addons"),
    "IO>": _Package("tensorflow_io", "tensorflow-io"),
    "Scann>": _Package("scann", "scann"),
    "TFRA>": _Package("tensorflow_recommenders_addons", "tensorflow-recommenders-addons"),
    "Tfq": _Package("tensorflow_quantum", "tensorflow-quantum"),
    "Horovod": _Package("horovod.tensorflow", "horovod"),
    "DecodeProtoSparse": _STRUCTS,
    "DecodeProtoMap": _STRUCTS,
    "EquiJoin": _STRUCTS,
    "EntropyEncode": _COMPRESSION,
    "EntropyDecode": _COMPRESSION,
}
_BY_NAME = {
    **dict.fromkeys(
        (
            *("CaseFoldUTF8", "NormalizeUTF8", "NormalizeUTF8WithOffsetsMap", "FindSourceOffsets"),
            *("WordpieceTokenizeWithOffsets", "WhitespaceTokenizeWithOffsets", "RegexSplitWithOffsets"),
            *("UnicodeScriptTokenizeWithOffsets", "SplitMergeTokenizeWithOffsets", "TokenizerFromLogits"),
            *("SentenceFragments", "SentenceFragmentsV2", "ConstrainedSequence", "MaxSpanningTree", "RougeL"),
        ),
        _TEXT,
    ),
    **dict.fromkeys(("RunLengthBefore", "VersionedParquetDataset"), _STRUCTS),
    **dict.fromkeys(("CreateRangeEncoder", "CreateRangeDecoder"), _COMPRESSION),
}

_NOT_REGISTERED = re.compile(r"Op type not registered '([^']*)'")


def bring(settings: OpsSettings) -> None:
    """Import the modules and load the libraries, in the order in which they were given; after TensorFlow.

    Raises:
        StartError: one cannot be had; the text says which and why.
    """
    for module in settings.import_:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise StartError(f"--import {module}: {_why(error)}{_install(module, error)}") from error
    for library in settings.load_op_library:
        path = os.path.abspath(os.path.expanduser(library))
        if not os.path.isfile(path):
            # The loader's own words for a folder, and for nothing at all, are strange ones.
            raise StartError(f"--load-op-library {library}: no such file")
        try:
            _loader()(path)
        except Exception as error:
            raise StartError(f"--load-op-library {library}: {_why(error)}") from error


def explained(text: str) -> str:
    """A text of TensorFlow's as it is; or, if it is about an op that is not registered, what to do."""
    found = _NOT_REGISTERED.search(text)
    if found is None:
        return text
    op = found.group(1)
    package = _package_of(op)
    if package is None:
        advice = "TensorFlow does not have it; --import=MODULE or --load-op-library=FILE brings what does"
    elif package.module in sys.modules:
        advice = f"it is one of {package.module}'s, which was imported and does not have it in this version"
    else:
        advice = (
            f"it is one of {package.module}'s: pip install {package.distribution}, and start with"
            f" --import={package.module}"
        )
    return f"{found.group()}: {advice}"


def _package_of(op: str) -> _Package | None:
    by_prefix = (package for prefix, package in _BY_PREFIX.items() if op.startswith(prefix))
    return _BY_NAME.get(op) or next(by_prefix, None)


def _install(module: str, error: BaseException) -> str:
    """How to get a module that we know, and that is not there."""
    if not isinstance(error, ModuleNotFoundError) or error.name != module:
        return ""
    known = {package.module: package for package in (*_BY_PREFIX.values(), *_BY_NAME.values())}
    return f" (pip install {known[module].distribution})" if module in known else ""


def _why(error: BaseException) -> str:
    return first_line(str(error).strip()) or type(error).__name__


def _loader() -> Callable[[str], object]:
    import tensorflow as tf

    load: Callable[[str], object] = tf.load_op_library
    return load
