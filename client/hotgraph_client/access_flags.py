"""The words by which commands reach a server and get into it: address, time limit, key, certificates."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .tls import Tls

KEY_VARIABLE = "HOTGRAPH_KEY"


def add_address_argument(
    parser: argparse.ArgumentParser, *, done: str = "asked", optional: bool = False
) -> None:
    """Give `parser` HOST:PORT.

    Args:
        done: what becomes of the server, over HTTP too.
        optional: may it be left out?
    """
    parser.add_argument(
        "address",
        metavar="HOST:PORT",
        nargs="?" if optional else None,
        help=f"the server; as http://HOST:PORT or https://HOST:PORT it is {done} over HTTP",
    )


def add_timeout_argument(
    parser: argparse.ArgumentParser, default_s: float, what: str = "seconds to wait"
) -> None:
    """Give `parser` --timeout-s."""
    parser.add_argument(
        "--timeout-s", type=positive_seconds, default=default_s, metavar="S", help=f"{what} (%(default)g)"
    )


def add_access_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` --key-file and the --tls flags."""
    parser.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help=f"the key that the server asks for (default: the environment's {KEY_VARIABLE}, if it is set)",
    )
    tls = parser.add_argument_group("encryption")
    tls.add_argument(
        "--tls",
        action="store_true",
        help="use TLS, trusting the usual certificate authorities; https:// does so by itself",
    )
    tls.add_argument("--tls-ca", metavar="FILE", help="use TLS, trusting the authority in this PEM file")
    tls.add_argument("--tls-cert", metavar="FILE", help="this client's certificate, PEM")
    tls.add_argument("--tls-key", metavar="FILE", help="the key of --tls-cert, PEM")


def tls_of(arguments: argparse.Namespace) -> Tls | None:
    """What the --tls flags say; None: they say nothing.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is no PEM, or half of a pair.
    """
    files = (arguments.tls_ca, arguments.tls_key, arguments.tls_cert)
    return Tls.from_files(*files) if arguments.tls or any(files) else None


def key_of(file: Path | None) -> str | None:
    """The key in `file`, or the environment's; None: there is none.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is empty.
    """
    key = os.environ.get(KEY_VARIABLE, "") if file is None else file.read_text(encoding="utf-8").strip()
    if file is not None and not key:
        raise ValueError(f"{file} holds no key")
    return key or None


def positive_seconds(text: str) -> float:
    """The type of a flag that takes seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number of seconds")
    return seconds
