"""The command ``hotgraph``: subcommands, help, exit status.

Only the module of the subcommand that was asked for is imported: the client's commands work where the
server's needs are not installed, and help does not wait for TensorFlow.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import select
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING

from hotgraph_protos.version import __version__
from hotgraph_server.commands.bootstrap import prepare_grpc

if TYPE_CHECKING:
    from hotgraph_server.processes.member import Member

# Subcommand: its module and its line in the help. The module has add_arguments(parser) and run(arguments);
# or run_words(words), if its flags are not of argparse's kind.
_COMMANDS = {
    "serve": ("hotgraph_server.commands.serve", "serve SavedModels over gRPC"),
    "tensorflow-model-server": (
        "hotgraph_server.commands.tensorflow_model_server.command",
        "the same, with TensorFlow Serving's flags and files",
    ),
    "inspect": (
        "hotgraph_server.commands.inspect",
        "show what a SavedModel takes and gives, and how to call it",
    ),
    "export": (
        "hotgraph_server.commands.export",
        "make a SavedModel of a .keras or .h5 file, a frozen graph, or a module without signatures",
    ),
    "wrap": (
        "hotgraph_server.commands.wrap",
        "put decoding, scaling, vocabulary and labels around a model: a picture in, names out",
    ),
    "config": ("hotgraph_server.commands.config", "tell all that is wrong with a settings file"),
    "doctor": (
        "hotgraph_server.commands.doctor.command",
        "tell what becomes of a deployment of TensorFlow Serving's or Triton's",
    ),
    "tune": (
        "hotgraph_server.commands.tune",
        "find the settings that serve a model best, and how many replicas a load takes",
    ),
    "fleet": (
        "hotgraph_server.commands.fleet.command",
        "servers on several machines: plan, start, watch, and change what they serve",
    ),
    "auth": ("hotgraph_server.commands.auth", "make keys that callers send, and hashes of them"),
    "state": ("hotgraph_server.commands.state", "list, take, restore and export snapshots of variables"),
    "loadtest": (
        "hotgraph_client.loadtest.command",
        "send calls to a model at a rate, and tell what became of them",
    ),
    "models": ("hotgraph_client.models_command", "list what a server serves, what it takes and gives"),
    "predict": (
        "hotgraph_client.predict_command",
        "call a model on a server, with images, tables, arrays or JSON",
    ),
    "health": ("hotgraph_client.health_command", "ask a server whether it, or one of its models, is ready"),
}
_DESCRIPTION = """\
hotgraph: an inference server for TensorFlow. One prebuilt graph, kept hot in one session, fed by
batches; it speaks the gRPC protocols of Triton and KServe, and of TensorFlow Serving.
"""
_EPILOG = """\
first steps:
  hotgraph serve                   serve the built-in digits model on 127.0.0.1:8500
  hotgraph inspect DIR             what is in a SavedModel, and code to call it
  hotgraph COMMAND --help          all about one command, with examples
"""
_FAILED = 1
_INTERRUPTED = 130
# As a shell says it of a program that SIGPIPE has ended.
_UNREAD = 141


def main(argv: Sequence[str] | None = None, member: Member | None = None) -> int:
    """Run a subcommand; returns the exit status: 1 if it failed, with one line on stderr. Wrong usage
    exits with 2, as argparse does.

    Args:
        argv: the words of the command line; None: this process's.
        member: this process is one of several that serve by that line; None: it is not.
    """
    if sys.stderr is None:
        # Started with stderr closed; argparse, logging and TensorFlow all want one.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        try:
            return _main(argv, member)
        finally:
            # Here and not when the interpreter ends, which tells of a failure by a traceback's last line.
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read what is printed has read enough (`hotgraph inspect DIR | head -1`): no fault, no text.
        unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
        if not unread:
            # A connection's, and not of what is printed.
            raise
        for stream in unread:
            _leave(stream)
        return _UNREAD


def _is_unread(stream: IO[str] | None) -> bool:
    """Is it a pipe that nobody will read any more?"""
    try:
        poll = select.poll()
        poll.register(stream.fileno() if stream is not None else -1, select.POLLOUT)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):
        # Without a file: somebody has put it in a stream's place.
        return False


def _leave(stream: IO[str]) -> None:
    """What is still to be printed goes nowhere, and fails nowhere when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _main(argv: Sequence[str] | None, member: Member | None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    command = words[0] if words and words[0] in _COMMANDS else None
    if command in ("serve", "tensorflow-model-server"):
        # Before its module is imported, because that imports grpc.
        prepare_grpc()
    try:
        module = importlib.import_module(_COMMANDS[command][0]) if command else None
    except ModuleNotFoundError as error:
        return _fail(str(command), _not_installed(str(command), error))
    except KeyboardInterrupt:
        # Before there is anybody to end in good order: importing takes a second.
        return _INTERRUPTED
    run_words = getattr(module, "run_words", None)
    if run_words is not None:
        return _run(str(command), lambda: run_words(words[1:], member))
    parser = argparse.ArgumentParser(
        "hotgraph",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hotgraph {__version__}")
    chosen = parser
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, line) in _COMMANDS.items():
        subparser = commands.add_parser(name, help=line, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == command and module is not None:
            module.add_arguments(subparser)
            chosen = subparser
    if command is None and words and not words[0].startswith("-"):
        parser.error(_no_command(words[0]))
    arguments, unknown = parser.parse_known_args(words, argparse.Namespace(words=words, member=member))
    if unknown:
        chosen.error(_unknown(unknown, chosen.format_help()))
    assert module is not None, "argparse has refused everything else"
    return _run(arguments.command, lambda: module.run(arguments))


def _no_command(word: str) -> str:
    from hotgraph_server.settings.nearest import nearest

    meant = nearest(word, _COMMANDS)
    if meant is not None:
        return f"no command {word!r}; did you mean {meant!r}?"
    if os.path.exists(word):
        return f"no command {word!r}; is it a model? hotgraph serve {shlex.quote(word)}"
    return f"no command {word!r}; hotgraph --help lists them"


def _unknown(words: Sequence[str], help: str) -> str:
    """What is said of words that are none of a command's, which are flags where a value is not behind one."""
    # Here, because it imports grpc, which most commands need anyway.
    from hotgraph_server.settings.nearest import did_you_mean

    flags = re.findall(r"(?<![\w-])--[a-z][\w-]*", help)
    meant = next((did_you_mean(word.partition("=")[0], flags) for word in words if word.startswith("-")), "")
    return f"unrecognized arguments: {' '.join(words)}{meant}"


def _run(command: str, run: Callable[[], int]) -> int:
    # Here, because it imports grpc.
    from hotgraph_server.errors import StartError

    try:
        return int(run())
    except StartError as error:
        return _fail(command, str(error))
    except ModuleNotFoundError as error:
        return _fail(command, _not_installed(command, error))
    except KeyboardInterrupt:
        # Of a command that has nothing to put in order: who pressed Ctrl-C knows why it ends.
        return _INTERRUPTED


def _not_installed(command: str, error: ModuleNotFoundError) -> str:
    if command == "loadtest":
        return f"{error}. Load tests need: pip install 'hotgraph[loadtest]'"
    if command == "fleet":
        return f"{error}. A fleet needs: pip install 'hotgraph[server,fleet]'"
    return f"{error}. The server needs: pip install 'hotgraph[server]'"


def _fail(command: str, line: str) -> int:
    print(f"hotgraph {command}: {' '.join(line.split())}", file=sys.stderr)
    return _FAILED
