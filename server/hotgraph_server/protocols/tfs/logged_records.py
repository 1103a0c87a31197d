"""Calls that were asked in earnest, as rows for the trial: the latest file of a model's request log.

They are read for what they are worth: a file that is not there, is still being written or holds calls that
this version does not take is no reason for anything. So much is read and no more.
"""

from __future__ import annotations

import functools
import glob
import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from google.protobuf.message import DecodeError

from hotgraph_server.errors import CallError, LoadError
from hotgraph_server.protocols.tfs.warmup_records import calls_of, read_records
from hotgraph_server.signatures import Signature
from hotgraph_server.warmup.warmup_calls import WarmupCall, WarmupSource

_LOG = logging.getLogger(__name__)

_MAX_RECORDS = 64
MAX_BYTES = 4 * 2**20


def logged_in(prefix: str) -> WarmupSource:
    """What the latest local file whose name begins so holds; request_log/writer.py names them."""
    return functools.partial(_logged, prefix)


def _logged(
    prefix: str, signatures: Mapping[str, Signature], unusable: Mapping[str, str]
) -> Iterator[WarmupCall]:
    path = _latest(prefix)
    if path is None:
        return
    read = 0
    try:
        for record in islice(read_records(path), _MAX_RECORDS):
            read += len(record)
            if read > MAX_BYTES:
                return
            try:
                yield from calls_of(record, f"a record of {path}", signatures, unusable)
            except (CallError, DecodeError):
                # It was asked of another version, or another model that shares the prefix.
                continue
    except LoadError as error:
        _LOG.debug("no more rows from the request log: %s", error)


def _latest(prefix: str) -> Path | None:
    # What lies elsewhere may take any time to be read.
    if "://" in prefix:
        return None
    found = []
    for name in glob.glob(f"{glob.escape(prefix)}-*.tfrecord"):
        try:
            found.append((Path(name).stat().st_mtime, Path(name)))
        except OSError:
            continue
    return max(found, default=(0.0, None))[1]
