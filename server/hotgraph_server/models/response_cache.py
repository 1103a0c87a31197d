"""The response cache: answers that are kept, and given again to calls that ask for the same.

Off unless the settings give it memory, and then only for models that ask for it. What is promised:

* A call is answered from the cache only if an earlier one with the same key was answered by the same loaded
  version. The key is a 256-bit BLAKE2b hash of everything that the answer depends on: which loading of
  which version it was (one that is loaded again starts with nothing), signature, outputs wanted and their
  order, and each input's name, dtype, shape and bytes, written down so that no two calls have the same text
  (cache_key.py). Two calls with one key would be a collision of that hash; nothing is compared besides.
* Nothing is kept of a signature whose answers may change (`why_not_kept`): one that writes state, one that
  draws random numbers or reads files, and none at all where any signature of the version writes state.
  Nothing of sequences either, and no errors.
* A hit ends the call at once, in the thread that brought it: it takes no place in the queue, is not refused
  for load, and counts as a success without a run.
* Calls that ask for the same at the same time are all run, until the first of them has been answered and
  kept. Letting one run for the others would tie their fate, deadline and priority to a caller that may
  leave; they share a batch instead, where the signature allows batches.
* Keeping costs the caller nothing: its answer has been delivered when the cache's own thread copies it. The
  copy is the cache's alone: what a run returns is one piece of memory for all calls of its batch, and a row
  of it would keep all rows alive. When more is to be copied than the thread can, some answers are not kept;
  what waits for it is bounded in number, and in bytes by the limit of what is kept.
* What is kept, its keys and bookkeeping included (an estimate, on the high side), is never larger than the
  limit. What was asked for least recently goes first. A version that is closed takes its answers with it.

Any thread may ask. The lock is held for a look at a dict.
"""

from __future__ import annotations

import functools
import itertools
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.errors import CallError
from hotgraph_server.models.cache_key import key_of
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Statistics
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.threads.joining import join_within

_LOG = logging.getLogger(__name__)

# Of CPython and numpy, measured with sys.getsizeof and rounded up: a key, an entry and their places in two
# dicts; an array; a bytes object and the pointer to it.
_ENTRY_NBYTES = 512
_ARRAY_NBYTES = 192
_STRING_NBYTES = 48
# Answers that may wait to be copied: a few batches, so that a burst is kept and a flood is not.
_MAX_WAITING = 1024
# It only copies; so much time is for a machine that is short of memory.
_STOP_S = 5.0
# A version's answers are dropped in so many pieces, so that no call waits long for the lock.
_DROP_AT_ONCE = 1000

_loadings = itertools.count()


def why_not_kept(signature: Signature, signatures: Mapping[str, Signature]) -> str | None:
    """Why the answers of `signature`, one of a version's `signatures`, must not be kept; None: they may."""
    if signature.writes:
        return "it changes state"
    if signature.varies:
        return "its answers may differ between runs: it draws random numbers or reads files"
    for other in signatures.values():
        if other.writes:
            return f"signature {other.name!r} changes state that it may read"
    return None


class Found(NamedTuple):
    """What a look at the cache has given.

    Attributes:
        answer: that is kept; None: there is none.
        key: under which the answer to come is to be kept; None: it is not.
    """

    answer: tuple[Array, ...] | None = None
    key: bytes | None = None


_NOTHING = Found()


class _Entry(NamedTuple):
    arrays: tuple[Array, ...]
    nbytes: int
    owner: VersionCache


class _ToKeep(NamedTuple):
    owner: VersionCache
    signature: str
    key: bytes
    arrays: Sequence[Array]
    nbytes: int


class ResponseCache:
    """The answers of all versions. One thread, between `start` and `stop`, does the copying.

    Args:
        limit_nbytes: that it may take, bytes.
        clock: seconds, for the statistics.
    """

    def __init__(self, limit_nbytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit_nbytes
        self._clock = clock
        self._lock = threading.Lock()  # guards what is kept, and the count of what waits to be
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # the one asked for last is last
        self._nbytes = 0
        self._nbytes_waiting = 0
        self._to_keep: queue.SimpleQueue[_ToKeep | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that are taken now."""
        return self._nbytes

    @property
    def nbytes_waiting(self) -> int:
        """Bytes of answers that wait to be copied."""
        return self._nbytes_waiting

    def __len__(self) -> int:
        """Answers that are kept now."""
        return len(self._entries)

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._main, name="response cache", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = _STOP_S) -> bool:
        """End the thread; what waits is kept first. Returns whether it ended in time; if not, it is named."""
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._to_keep.put(None)
        return join_within(thread, timeout_s)

    def answers_of(
        self, title: str, signatures: Mapping[str, Signature], statistics: Statistics
    ) -> VersionCache:
        """A place for the answers of a version that has just been loaded.

        Args:
            title: of the version, for the log.
            signatures: of the version; those that `why_not_kept` has a reason for are left alone.
            statistics: of the version: where hits and misses are counted.
        """
        reasons = {name: why_not_kept(signature, signatures) for name, signature in signatures.items()}
        for name, reason in reasons.items():
            if reason is not None:
                _LOG.warning("%s: answers of signature %r are not kept: %s", title, name, reason)
        kept = frozenset(name for name, reason in reasons.items() if reason is None)
        return VersionCache(self, f"{next(_loadings)} {title}".encode(), kept, statistics, self._clock)

    def find(self, key: bytes) -> tuple[Array, ...] | None:
        """The answer under `key`, which is used by this; read-only, because others get the same arrays."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry.arrays

    def keep_later(self, owner: VersionCache, signature: str, key: bytes, arrays: Sequence[Array]) -> None:
        """Let the thread copy an answer and keep it; returns at once."""
        nbytes = _nbytes_of(arrays)
        with self._lock:
            if self._nbytes_waiting + nbytes > self._limit or self._to_keep.qsize() >= _MAX_WAITING:
                return
            self._nbytes_waiting += nbytes
        self._to_keep.put(_ToKeep(owner, signature, key, arrays, nbytes))

    def forget(self, owner: VersionCache) -> None:
        """Drop what is kept of a version, and keep nothing of it any more."""
        with self._lock:
            owner.closed = True
        while True:
            with self._lock:
                keys = list(itertools.islice(owner.keys, _DROP_AT_ONCE))
                dropped = [self._drop(key) for key in keys]
            if not dropped:
                return

    def _main(self) -> None:
        while (work := self._to_keep.get()) is not None:
            started = self._clock()
            try:
                self._put(work)
            except Exception:
                _LOG.exception("could not keep an answer")
            with self._lock:
                self._nbytes_waiting -= work.nbytes
            work.owner.statistics.add_cache_insertion(work.signature, self._clock() - started)
            # A batch's memory must not stay alive until the next answer comes.
            del work

    def _put(self, work: _ToKeep) -> None:
        copies = tuple(map(_copy, work.arrays))
        # What has to go gives its memory back outside of the lock, when this returns.
        dropped: list[_Entry] = []
        with self._lock:
            if work.owner.closed or work.key in self._entries:
                return
            self._entries[work.key] = _Entry(copies, work.nbytes, work.owner)
            work.owner.keys[work.key] = None
            self._nbytes += work.nbytes
            while self._nbytes > self._limit:
                dropped.append(self._drop(next(iter(self._entries))))

    def _drop(self, key: bytes) -> _Entry:
        """Requires the lock."""
        assert self._lock.locked()
        entry = self._entries.pop(key)
        del entry.owner.keys[key]
        self._nbytes -= entry.nbytes
        return entry


class VersionCache:
    """The answers of one loaded version; made by ResponseCache.answers_of.

    Attributes:
        statistics: of the version.
        keys: of its answers that are kept, in a dict for want of a set with an order; the cache's.
        closed: nothing is to be kept any more; the cache's.
    """

    def __init__(
        self,
        cache: ResponseCache,
        version: bytes,
        signatures: frozenset[str],
        statistics: Statistics,
        clock: Callable[[], float],
    ) -> None:
        self.statistics = statistics
        self.keys: dict[bytes, None] = {}
        self.closed = False
        self._cache = cache
        self._version = version
        self._signatures = signatures
        self._clock = clock

    def look_up(self, signature: Signature, outputs: Sequence[str], inputs: Sequence[Array]) -> Found:
        """What is kept for a call; counts a hit or a miss.

        Args:
            signature: of the version.
            outputs: aliases of the outputs wanted, in their order.
            inputs: one array for each input of the signature, in its order.
        """
        name = signature.name
        if name not in self._signatures:
            return _NOTHING
        started = self._clock()
        key = key_of(self._version, signature, outputs, inputs)
        arrays = self._cache.find(key)
        seconds = self._clock() - started
        if arrays is None:
            self.statistics.add_cache_miss(name, seconds)
            return Found(key=key)
        self.statistics.add_cache_hit(name, seconds)
        return Found(answer=arrays)

    def keeping(self, completion: Completion, signature: str, key: bytes) -> Completion:
        """A completion that passes the outcome on to `completion`, and has it kept if it is an answer.

        Args:
            signature: its name.
            key: from `look_up`.
        """
        return Completion(functools.partial(self._answered, completion, signature, key))

    def forget(self) -> None:
        """Drop them all, for ever."""
        self._cache.forget(self)

    def _answered(self, completion: Completion, signature: str, key: bytes, outcome: Outcome) -> None:
        completion.finish(outcome)
        if not isinstance(outcome, CallError):
            self._cache.keep_later(self, signature, key, outcome)


def _nbytes_of(arrays: Sequence[Array]) -> int:
    """What it takes to keep these, an estimate on the high side."""
    total = _ENTRY_NBYTES + _ARRAY_NBYTES * len(arrays)
    for array in arrays:
        if array.dtype == STRING:
            strings = array.reshape(-1).tolist()
            total += _STRING_NBYTES * len(strings) + sum(map(len, strings))
        else:
            total += array.nbytes
    return total


def _copy(array: Array) -> Array:
    copied = np.array(array, order="C")
    copied.flags.writeable = False
    return copied
