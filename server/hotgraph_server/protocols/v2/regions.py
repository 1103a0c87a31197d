"""Memory that clients on the same machine share with the server: tensors that need not be sent.

A client makes a POSIX shared memory object, registers it under a name, and its requests then say where in it
their inputs are and where their outputs belong. What is promised:

* Nothing but regular files directly in /dev/shm is ever opened: a key is one file name, links are not
  followed, and a pipe or a device that lies there is not waited for. The names of the system's semaphores are
  refused, and all that lack the prefix if the settings have one. Within that, callers of the server can
  read and write what the server's user can: that is why it is off by default.
* Bounds are checked when a region is registered, against the file, and again for every use, against the
  region.
* The client may write, shrink or remove its file at any moment. A mapping of a file that has shrunk ends the
  process with SIGBUS when it is touched, and a string that changes while it is read has two lengths. So
  nothing is mapped here: inputs are read, once, into memory of the call's own, and outputs written, by
  pread and pwrite, which report what is missing as an error of this one call. That copy costs some 40 us for
  600 kB and 0.3 ms for 4 MiB (15 GB/s); the same bytes through a socket cost ten times that.
* A region that is unregistered is gone for calls to come. Outputs are promised a place when a call begins
  (`room`), and the place outlives the name; the file is closed when the last such place is gone.
* How many regions there are, and how large they are together, is limited. A message of 100 bytes can ask
  for all bytes of a region to be read, and the queue counts them only then: the limit in bytes is also what
  one thread that reads requests may hold for an instant.

Any thread may call everything. Nothing here waits for anything but the file system in memory.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hotgraph_server.errors import AlreadyExists, InvalidCall, NotFound, OverLimit, RegionBroken
from hotgraph_server.settings import SharedMemorySettings

FOLDER = "/dev/shm"
"""Where Linux keeps POSIX shared memory objects, as files."""

OFF = "client shared memory is off; a server started with --allow-client-shm takes it"
"""What clients are told where there are no regions."""

_MAX_NAME = 1024
# glibc keeps sem_open's semaphores in the same folder; writing into one can hang the processes that share it.
_SEMAPHORES = "sem."
_MIB = 1 << 20
# TensorFlow takes memory that begins at a multiple of this without copying it.
_ALIGNMENT = 64
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

Bytes = bytes | bytearray | memoryview


class _File:
    """An open file that is closed when its last user lets go of it, and not before.

    Closed sooner, its number would be given to the next file or socket that is opened, and a call that is
    reading at that moment would read from there.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.number)

    @property
    def size(self) -> int:
        return os.fstat(self.number).st_size


@dataclass(frozen=True)
class Region:
    """What was registered.

    Attributes:
        name: that requests call it by.
        key: the name of the shared memory object.
        offset: where in the object it begins, bytes.
        byte_size: how long it is, bytes.
    """

    name: str
    key: str
    offset: int
    byte_size: int


class Room:
    """A place for the bytes of one output. It outlives the region's name.

    Attributes:
        nbytes: that fit.
    """

    __slots__ = ("_file", "_name", "_start", "nbytes")

    def __init__(self, file: _File, name: str, start: int, nbytes: int) -> None:
        self._file = file
        self._name = name
        self._start = start
        self.nbytes = nbytes

    def write(self, data: Bytes) -> None:
        """Copy `data` to the beginning of the place.

        Raises:
            RegionBroken: it does not fit, or there is no memory left for it.
            InvalidCall: the file is shorter than it was.
        """
        view = memoryview(data).cast("B")
        if view.nbytes > self.nbytes:
            raise RegionBroken(
                f"shared memory size specified with the request ({self.nbytes} bytes in region "
                f"'{self._name}') should be at least {view.nbytes} bytes to hold the results"
            )
        try:
            # Writing past its end would make the file longer: what the client cut off would be the server's
            # to fill. One that is cut between these two lines grows to its registered size at most.
            if self._file.size < self._start + view.nbytes:
                raise _too_short(self._name)
            done = 0
            while done < view.nbytes:
                done += os.pwrite(self._file.number, view[done:], self._start + done)
        except OSError as error:
            raise RegionBroken(
                f"Unable to write to shared memory region '{self._name}': {error.strerror}"
            ) from None


class Regions:
    """The regions that clients have registered.

    Args:
        settings: what is allowed.
        folder: where shared memory objects are files.
    """

    def __init__(self, settings: SharedMemorySettings, folder: str = FOLDER) -> None:
        self._settings = settings
        self._folder = os.fsencode(folder)
        self._lock = threading.Lock()  # guards what is known of regions; files are opened outside it
        self._known: dict[str, tuple[Region, _File]] = {}
        self._nbytes = 0

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Make a part of a shared memory object known by a name.

        Args:
            name: that requests will call it by.
            key: the object's name, as shm_open takes it; one slash may come first.
            offset, byte_size: which part of it, bytes.

        Raises:
            AlreadyExists: there is a region of that name.
            InvalidCall: the name or the key is not allowed, or the part is not within the object.
            OverLimit: there are too many regions, or they are too large.
            RegionBroken: the object cannot be opened, or is no shared memory.
        """
        if not name or len(name) > _MAX_NAME:
            raise InvalidCall(f"the name of a shared memory region must have 1 to {_MAX_NAME} characters")
        path = os.path.join(self._folder, self._file_name(key))
        file = _opened(path, key)
        if not (byte_size > 0 and 0 <= offset <= file.size - byte_size):
            raise InvalidCall(
                f"failed to register shared memory region '{name}': offset {offset} and byte size "
                f"{byte_size} are not within '{key}', which has {file.size} bytes"
            )
        with self._lock:
            self._check_limits(name, byte_size)
            self._known[name] = (Region(name, key, offset, byte_size), file)
            self._nbytes += byte_size

    def unregister(self, name: str) -> None:
        """Forget a region, if there is one of that name. Calls that have found it already keep it."""
        with self._lock:
            found = self._known.pop(name, None)
            if found is not None:
                self._nbytes -= found[0].byte_size

    def unregister_all(self) -> None:
        """Forget all regions."""
        with self._lock:
            # The last user of a file closes it: not under the lock.
            forgotten, self._known = self._known, {}
            self._nbytes = 0
        forgotten.clear()

    def status(self, name: str = "") -> list[Region]:
        """The region of that name; all of them if it is empty.

        Raises:
            NotFound: there is none of that name.
        """
        with self._lock:
            if not name:
                return [region for region, _ in self._known.values()]
            found = self._known.get(name)
        if found is None:
            raise NotFound(f"Unable to find system shared memory region: '{name}'")
        return [found[0]]

    def view(self, name: str, offset: int, nbytes: int) -> memoryview:
        """What is in a region now: a copy, so that nothing the client does later changes it.

        Args:
            offset: from the region's beginning, bytes.
            nbytes: how much.

        Returns:
            `nbytes` bytes that are the caller's alone, writable, beginning at a multiple of 64 in memory.

        Raises:
            NotFound: there is no such region.
            InvalidCall: that is not within the region, or the file is shorter than it was.
            RegionBroken: the file cannot be read.
        """
        file, start = self._place(name, offset, nbytes)
        room = np.empty(nbytes + _ALIGNMENT, np.uint8)
        view = room[-room.ctypes.data % _ALIGNMENT :][:nbytes].data
        done = 0
        try:
            while done < nbytes:
                got = os.preadv(file.number, [view[done:]], start + done)
                if not got:
                    raise _too_short(name)
                done += got
        except OSError as error:
            raise RegionBroken(f"Unable to read shared memory region '{name}': {error.strerror}") from None
        return view

    def room(self, name: str, offset: int, nbytes: int) -> Room:
        """A place for an output, to be written later.

        Raises:
            NotFound: there is no such region.
            InvalidCall: that is not within the region.
        """
        file, start = self._place(name, offset, nbytes)
        return Room(file, name, start, nbytes)

    def _place(self, name: str, offset: int, nbytes: int) -> tuple[_File, int]:
        """A file and where in it a part of a region begins.

        Raises: as `room`.
        """
        with self._lock:
            found = self._known.get(name)
        if found is None:
            raise NotFound(f"Unable to find shared memory region: '{name}'")
        region, file = found
        if not 0 <= offset <= region.byte_size:
            raise InvalidCall(f"Invalid offset for shared memory region: '{name}'")
        if not 0 <= nbytes <= region.byte_size - offset:
            raise InvalidCall(f"Invalid offset + byte size for shared memory region: '{name}'")
        return file, region.offset + offset

    def _file_name(self, key: str) -> bytes:
        """The name within the folder of the object that `key` names.

        Raises:
            InvalidCall: it is no name that shm_open would take, or not one that clients may use.
        """
        name = key.removeprefix("/")
        if not name or name in (".", "..") or "/" in name or "\0" in name:
            raise InvalidCall(f"shared memory key {key!r} is not allowed: it must be one file name")
        prefix = self._settings.client_shm_prefix
        if name.startswith(_SEMAPHORES) or not name.startswith(prefix):
            raise InvalidCall(f"shared memory key {key!r} is not allowed on this server")
        return name.encode()

    def _check_limits(self, name: str, byte_size: int) -> None:
        """Requires the lock.

        Raises: as `register`.
        """
        assert self._lock.locked()
        settings = self._settings
        if name in self._known:
            raise AlreadyExists(f"shared memory region '{name}' already in manager")
        if len(self._known) >= settings.max_client_shm_regions:
            raise OverLimit(
                f"shared memory region '{name}' is one too many: "
                f"the limit is {settings.max_client_shm_regions}"
            )
        if self._nbytes + byte_size > settings.max_client_shm_mb * _MIB:
            raise OverLimit(
                f"shared memory region '{name}' of {byte_size} bytes is too large beside {self._nbytes} "
                f"bytes in others: the limit is {settings.max_client_shm_mb} MiB together"
            )


def _opened(path: bytes, key: str) -> _File:
    """
    Raises:
        RegionBroken: there is no such file, it may not be opened, or it is no regular one.
    """
    try:
        file = _File(os.open(path, _FLAGS))
    except OSError as error:
        raise RegionBroken(f"Unable to open shared memory region: '{key}': {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(file.number).st_mode):
        raise RegionBroken(f"Unable to open shared memory region: '{key}': it is no shared memory")
    return file


def _too_short(name: str) -> InvalidCall:
    return InvalidCall(
        f"Invalid offset + byte size for shared memory region: '{name}': "
        "the shared memory object is shorter than it was when it was registered"
    )
