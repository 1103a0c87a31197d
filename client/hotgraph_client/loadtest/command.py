"""`hotgraph loadtest`: calls at a rate that is asked for, from the shell.

Figures go to stdout (a table, or JSON with --json -), everything else to stderr. Ctrl-C, or SIGTERM, ends the
load that is on, and what was found by then is shown and written; a second one leaves at once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from .. import protocol
from ..access_flags import key_of, tls_of
from ..model_header import ModelHeaders
from . import flags
from .document import VERSION
from .options import Options, read_options
from .table import one_line
from .target import destinations

if TYPE_CHECKING:
    from .document import Document, Slo, Step
    from .inputs.options import InputOptions
    from .session import Session, Target

_ENDING = (signal.SIGINT, signal.SIGTERM)
_DONE, _FAILED, _WRONG_USAGE, _INTERRUPTED = 0, 1, 2, 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    flags.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Put the load on; the exit status, see flags.EXAMPLES. Failures are one line on stderr.

    Raises:
        ModuleNotFoundError: a package of the extra `loadtest` is not installed.
    """
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written", _INTERRUPTED)


def _run(arguments: argparse.Namespace) -> int:
    try:
        options = read_options(arguments)
        baseline = _baseline(arguments.baseline)
        _check_places(arguments)
        target, inputs = _target(arguments), _inputs(arguments)
    except ValueError as error:
        return _fail(error, _WRONG_USAGE)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error, _WRONG_USAGE)
    return _put_on(arguments, options, target, inputs, baseline)


def _put_on(
    arguments: argparse.Namespace,
    options: Options,
    target: Target,
    inputs: InputOptions,
    baseline: Document | None,
) -> int:
    # It is for the processes that send: what they would miss is said once, and before they start.
    importlib.import_module("hotgraph_client.loadtest.sending.worker")
    from .dialects.description import TargetError
    from .inputs.items import InputError
    from .session import NoAnswer, Session

    try:
        session = Session(target, options, inputs)
    except InputError as error:
        return _fail(error, _WRONG_USAGE)
    except TargetError as error:
        return _fail(error, _FAILED)
    try:
        found, stopped = _load(session, options)
    except NoAnswer as error:
        return _fail(error, _FAILED)
    except OSError as error:
        return _fail(f"--live: {error.strerror or error}", _FAILED)
    steps, slo = found
    document = session.document(steps, slo)
    try:
        _write(document, baseline, arguments)
        _show(document, baseline, sys.stderr if arguments.json == "-" else sys.stdout)
    except OSError as error:
        return _fail(error, _FAILED)
    if stopped and options.live_port is None:
        return _INTERRUPTED
    why = _why_failed(document)
    return _fail(why, _FAILED) if why else _DONE


def _load(session: Session, options: Options) -> tuple[tuple[list[Step], Slo | None], bool]:
    """Steps and what a search found; and whether it was interrupted."""
    from .progress import progress_on

    with progress_on(sys.stderr) as progress:
        for note in session.notes:
            progress.note(f"note: {note}")
        if options.live_port is not None:
            return _load_live(session, options.live_port, progress)
        with session.runner(progress) as (runner, _), _interrupting(runner.stop, progress.note):
            return session.put_on(runner, progress.note), runner.stopped


def _load_live(session: Session, port: int, progress: Any) -> tuple[tuple[list[Step], None], bool]:
    from .live.control import Control
    from .live.feed import Feed
    from .live.server import LivePage
    from .watching import Together

    feed = Feed()
    with session.runner(Together(progress, feed)) as (runner, senders):
        control = Control(senders, runner.stop, session.live_load.rate, session.rows, session.mix)
        page = LivePage(feed, control, session.title, port)
        page.start()
        progress.note(f"live: {page.url}  (Ctrl-C ends it)")
        try:
            with _interrupting(runner.stop, progress.note):
                return (session.put_on_live(runner), None), runner.stopped
        finally:
            page.stop()


@contextmanager
def _interrupting(stop: Callable[[], None], note: Callable[[str], None]) -> Iterator[None]:
    """The first Ctrl-C, or SIGTERM (a pipeline's time limit), calls `stop`; another one is
    KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        for each in _ENDING:
            signal.signal(each, signal.default_int_handler)
        # Of a thread's own: this one may be in the middle of what `stop` would wait for.
        threading.Thread(target=end, name="loadtest-interrupt", daemon=True).start()

    def end() -> None:
        note("ending, as was asked for (Ctrl-C, SIGTERM); another one leaves at once")
        stop()

    before = {each: signal.signal(each, handle) for each in _ENDING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _target(arguments: argparse.Namespace) -> Target:
    from .session import Target

    tls, key = tls_of(arguments), key_of(arguments.key_file)
    headers = ModelHeaders(protocol.checked_headers(None, key)).of(arguments.model)
    return Target(
        text=arguments.target,
        destinations=destinations(arguments.target, tls=tls, headers=headers),
        model=arguments.model,
        version=arguments.version or "",
        signature=arguments.signature or "",
        protocol=arguments.protocol,
        tls=tls,
        key=key,
        metrics=arguments.metrics,
        command=shlex.join(["hotgraph", *getattr(arguments, "words", ["loadtest", arguments.target])]),
    )


def _inputs(arguments: argparse.Namespace) -> InputOptions:
    from .inputs.options import MEBIBYTE, InputOptions

    return InputOptions(
        data=[str(arguments.replay)] if arguments.replay is not None else arguments.data,
        rows=arguments.rows,
        shapes=arguments.shape,
        ranges=arguments.range,
        text=arguments.text,
        scale=arguments.scale,
        items=arguments.items,
        seed=arguments.seed,
        check=arguments.check,
        max_bytes=arguments.input_mb * MEBIBYTE,
    )


def _baseline(file: Path | None) -> Document | None:
    if file is None:
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"--baseline {file}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or "hotgraph_loadtest" not in found:
        raise ValueError(f"--baseline {file}: expected what an earlier --json wrote")
    if found["hotgraph_loadtest"] != VERSION:
        raise ValueError(
            f"--baseline {file}: it is of form {found['hotgraph_loadtest']!s:.20}, and {VERSION} can be read"
        )
    _check_shown(file, found)
    return cast("Document", found)


def _check_shown(file: Path, found: Any) -> None:
    """Whoever has changed such a file by hand hears of it before minutes of load, and not after them."""
    from . import table
    from .report import page

    try:
        table.table(found.get("steps", []), found.get("steps", []))
        page(found, found)
    except Exception as error:
        # of any kind: what is missing or of another type is found wherever it is used
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"--baseline {file}: it is not as --json wrote it ({why})") from None


def _check_places(arguments: argparse.Namespace) -> None:
    """Before minutes of load, and not after them."""
    for flag, place in (("--json", arguments.json), ("--html", arguments.html)):
        if place in (None, "-"):
            continue
        if not Path(place).absolute().parent.is_dir() or Path(place).is_dir():
            raise ValueError(f"{flag} {place}: no file can be written there")


def _write(document: Document, baseline: Document | None, arguments: argparse.Namespace) -> None:
    if arguments.json is not None:
        text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        if arguments.json == "-":
            _print(text, sys.stdout)
        else:
            Path(arguments.json).write_text(text, encoding="utf-8")
    if arguments.html is not None:
        from .report import page

        arguments.html.write_text(page(document, baseline), encoding="utf-8")


def _show(document: Document, baseline: Document | None, stream: Any) -> None:
    from . import table

    steps = document.get("steps", [])
    lines = (
        table.table(steps, baseline.get("steps", []) if baseline else []) if steps else ["no load was put on"]
    )
    slo = document.get("slo")
    lines += [*table.remarks(document), *([table.promise_line(slo)] if slo else [])]
    _print("\n".join(lines) + "\n", stream)


def _print(text: str, stream: Any) -> None:
    if stream is None:
        # started with stdout closed: nobody wants to read
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # whoever read has seen enough; what is left in the buffer must not fail at exit
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _why_failed(document: Document) -> str:
    """Why the exit status is 1; empty: it is not."""
    from . import table

    steps, slo = document.get("steps", []), document.get("slo")
    if slo is not None and not table.is_enough(slo):
        return table.promise_line(slo)
    if steps and not any(step["calls"] or step["void"] for step in steps):
        return "no call was due: give a longer --duration, or a higher --rate"
    if steps and not any(step["latency_ms"] for step in steps):
        return f"no call was answered: {'; '.join(table.remarks(document)) or 'nothing came back'}"
    wrong = sum(step["wrong"] for step in steps)
    if wrong:
        why = next(step["wrong_why"] for step in steps if step["wrong"])
        return f"{wrong} wrong answers: {why}"
    return "" if steps else "no load was put on"


def _fail(error: object, status: int) -> int:
    print("hotgraph loadtest:", one_line(str(error)), file=sys.stderr)
    return status
