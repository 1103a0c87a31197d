"""``hotgraph state``: what is kept of a model's variables, and what can be done with it."""

from __future__ import annotations

import argparse
import http.client
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from hotgraph_server.access.keys import key_fault
from hotgraph_server.errors import LoadError, StartError
from hotgraph_server.state.files import Disk
from hotgraph_server.state.identity import folder_of
from hotgraph_server.state.snapshot import Damaged, Header, Snapshot, decode
from hotgraph_server.state.store import Found, Store, name_of
from hotgraph_server.text_proto import text_of

DESCRIPTION = """\
Look at snapshots of variables that a served model's signatures write, take one, go back to an older one, or
write a SavedModel with the values of one.
"""
EXAMPLES = """\
examples:
  hotgraph state list /var/lib/hotgraph                 all snapshots in a state-dir
  hotgraph state save 127.0.0.1:8501 flowers            a running server takes one now (its admin port)
  hotgraph state save 127.0.0.1:8501 flowers --key-file KEY      one whose group state has keys
  hotgraph state restore DIR/flowers/1-0a1b2c3d4e5f/00000000000000000400.snapshot
                                                        the next start begins with this one
  hotgraph state export SNAPSHOT ~/models/flowers/1 ~/models/flowers/2
"""

_SAVE_S = 120.0
_KEY = "HOTGRAPH_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="show the snapshots in a state-dir")
    listing.add_argument("folder", type=Path, metavar="DIR", help="a state-dir, or a folder in it")
    saving = actions.add_parser("save", help="let a running server take a snapshot now")
    saving.add_argument("address", metavar="HOST:PORT", help="of its admin port")
    saving.add_argument("model", help="its name")
    saving.add_argument("--version", type=int, help="a version's number (default: the highest)")
    saving.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help=f"the key that the server's group state asks for (default: the environment's {_KEY}, if set)",
    )
    restoring = actions.add_parser("restore", help="let the next start begin with an older snapshot")
    restoring.add_argument("snapshot", type=Path, help="the file; newer ones beside it are set aside")
    exporting = actions.add_parser("export", help="write a SavedModel with the values of a snapshot")
    exporting.add_argument("snapshot", type=Path, help="the file")
    exporting.add_argument("saved_model", type=Path, help="the SavedModel that it belongs to")
    exporting.add_argument("end", type=Path, metavar="OUT", help="a folder that is not there yet")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit status.

    Raises:
        StartError: it could not be done, and why.
    """
    if arguments.action == "list":
        return _list(arguments.folder)
    if arguments.action == "save":
        print(_save(arguments.address, arguments.model, arguments.version, _key(arguments.key_file)))
    elif arguments.action == "restore":
        print(_restore(arguments.snapshot))
    else:
        _export(arguments.snapshot, arguments.saved_model, arguments.end)
        print(f"wrote {arguments.end}")
    return 0


def _list(folder: Path) -> int:
    """Returns 1 if there are none."""
    found = [one for path in _folders(folder) for one in Store(path, 1).find()]
    for one in found:
        print(_line(one))
    if not found:
        print(f"no snapshots in {folder}")
    return 0 if found else 1


def _folders(folder: Path) -> Iterator[Path]:
    """Those with snapshots in them: itself, those of a model, or those of all models."""
    try:
        if any(folder.glob("*.snapshot")):
            yield folder
        yield from sorted({path.parent for path in folder.glob("*/*.snapshot")})
        yield from sorted({path.parent for path in folder.glob("*/*/*.snapshot")})
    except OSError as error:
        raise LoadError(str(folder), error.strerror or str(error)) from error


def _line(found: Found) -> str:
    if found.snapshot is None:
        return f"{found.path}  damaged: {found.damage}"
    header = found.snapshot.header
    taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(header.taken_at))
    variables = ", ".join(found.snapshot.values)
    return (
        f"{found.path}  model '{header.model}' version {header.version}, {header.writes} writes, {taken}:"
        f" {variables}"
    )


def _key(file: Path | None) -> str:
    """Empty: none is sent. Raises StartError: it cannot be one."""
    key = os.environ.get(_KEY, "") if file is None else text_of(file).strip()
    fault = key_fault(key) if key or file is not None else None
    if fault is not None:
        raise StartError(f"{file or _KEY}: {fault}")
    return key


def _save(address: str, model: str, version: int | None, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    which = "latest" if version is None else str(version)
    try:
        connection = http.client.HTTPConnection(address, timeout=_SAVE_S)
    except http.client.InvalidURL as error:
        raise StartError(f"{address!r} is no HOST:PORT: {error}") from error
    try:
        connection.request("POST", f"/api/state/{quote(model, safe='')}/{which}/save", headers=headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise StartError(f"{address} does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise StartError(f"{address}: {text}")
    return text


def _restore(path: Path) -> str:
    header, path = _read(path).header, path.absolute()
    if not _is_where_a_start_looks(path, header):
        place = folder_of(Path(), header.model, header.version, header.identity) / name_of(header.writes)
        raise LoadError(str(path), f"no start looks for it there; copy it to {place} in the state-dir first")
    store = Store(path.parent, 1)
    try:
        path = store.take_back(path)
        aside = store.set_aside(header.writes)
    except OSError as error:
        raise LoadError(str(path.parent), error.strerror or str(error)) from error
    newer = f"; set aside: {', '.join(str(one) for one in aside)}" if aside else ""
    return f"the next start begins after {header.writes} writes, with {path}{newer}{_with_more(path, header)}"


def _is_where_a_start_looks(path: Path, header: Header) -> bool:
    """Or where it would, had it not been set aside."""
    folder = folder_of(path.parent.parent.parent, header.model, header.version, header.identity)
    return path.with_suffix(Path(name_of(header.writes)).suffix) == folder / name_of(header.writes)


def _with_more(path: Path, header: Header) -> str:
    """A remark on snapshots of other versions that a start with transfer_state would rather take."""
    others = [
        str(one)
        for one in sorted(path.parent.parent.glob("*/*.snapshot"))
        if one.parent != path.parent and one.name > name_of(header.writes)
    ]
    return (
        f"; but transfer_state takes the one with the most writes, of {', '.join(others)}" if others else ""
    )


def _export(path: Path, saved_model: Path, end: Path) -> None:
    snapshot = _read(path)
    from hotgraph_server.graph.exporting import export

    export(saved_model, snapshot.values, end)


def _read(path: Path) -> Snapshot:
    try:
        return decode(Disk().read(path))
    except OSError as error:
        raise LoadError(str(path), error.strerror or str(error)) from error
    except Damaged as error:
        raise LoadError(str(path), str(error)) from error
