"""Start a server with the built-in digits model, send it real images from many callers, show what came back.

scripts/quickstart makes the environment and runs this. The server is a process of its own, started as anyone
would start it; the callers are threads in this one, with one client between them. At the end the same model
is run the way that this project exists to end, with a new graph and a new session for every call.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drawing import digit_picture, histogram, probability_bars, side_by_side
from hotgraph_client import Client, HotgraphError, ModelStatistics
from hotgraph_server.commands.builtin import DIGITS, digits_model, heldout_digits
from quickstart_calls import (
    CALL_S,
    Load,
    WrongAnswers,
    call_in_parallel,
    call_with_new_sessions,
    check_answers,
)
from quickstart_options import Options, parse

START_S = 120.0  # the first import of TensorFlow from a cold disk takes most of a minute on small machines
SERVING = "serving on "


class NoServer(Exception):
    """The server did not start; the text has its own last words."""


@dataclass(frozen=True)
class Server:
    """A server process, its addresses for gRPC and for HTTP, and the file that its stderr goes to."""

    process: subprocess.Popen[bytes]
    address: str
    http_address: str
    log: Path


def start_server(folder: Path, *arguments: str) -> Server:
    """Start `hotgraph serve` on free ports, with further arguments; returns once it says that it serves.

    Raises:
        NoServer: it ended first, or took longer than START_S.
    """
    log = folder / "server.log"
    with socket.create_server(("127.0.0.1", 0)) as found:
        http_address = f"127.0.0.1:{found.getsockname()[1]}"
    with log.open("wb") as stderr:
        # A session of its own: Ctrl-C is for us, who then stop it, and with --keep it outlives this terminal.
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "hotgraph_server",
                "serve",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--rest-port",
                http_address.rpartition(":")[2],
                "--admin-port",
                "0",
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,
        )
    give_up = time.monotonic() + START_S
    try:
        while True:
            ended = (
                process.poll() is not None
            )  # before the look into its log, or its last line could be missed
            lines = log.read_text(errors="replace").splitlines(keepends=True)
            for line in lines:
                if SERVING in line and line.endswith("\n"):
                    return Server(process, line.split(SERVING, 1)[1].split()[0], http_address, log)
            if ended or time.monotonic() > give_up:
                what = (
                    f"ended with status {process.returncode}"
                    if ended
                    else f"did not serve within {START_S:.0f} s"
                )
                said = "".join(lines[-10:]).rstrip() or "(nothing)"
                raise NoServer(f"the server {what}; it said:\n{said}")
            time.sleep(0.05)
    except BaseException:
        stop_server(process)
        raise


def stop_server(process: subprocess.Popen[bytes], within_s: float = 30.0) -> None:
    """Ask it to stop, as a person would; kill it if it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def rows_per_batch(before: ModelStatistics, after: ModelStatistics) -> float:
    """From two readings of the server's own count: the rows that it ran, by its runs of the graph."""
    return (after.rows - before.rows) / (after.runs - before.runs)


def report(
    image: NDArray[np.float32], served: Load, alone: Load, accuracy: float, rows: float, callers: int
) -> str:
    """All that a person wants to see, as text."""
    ms = served.latencies_s * 1000
    p50, p95, p99 = np.percentile(ms, [50, 95, 99])
    blocks, low, high = histogram(ms)
    answer = served.probabilities[0]
    picture = side_by_side(
        digit_picture(image), [*probability_bars(answer), "", f"the model says {answer.argmax()}"]
    )
    facts = [
        ("accuracy", f"{accuracy:.3f} on 500 held-out images of handwritten digits"),
        (
            "calls/s",
            f"{served.calls_per_s:,.0f} ({callers} callers, one image a call, one Python client process)",
        ),
        ("rows per batch", f"{rows:.1f} (the server made the batches; the callers know nothing of them)"),
        ("latency, ms", f"p50 {p50:.2f}   p95 {p95:.2f}   p99 {p99:.2f}"),
        ("", f"{low:.1f} |{blocks}| {high:.1f}"),
        (
            "new graph and session",
            f"{alone.calls_per_s:,.0f} calls/s, {np.median(alone.latencies_s) * 1000:.1f} ms a call",
        ),
        (
            "one hot graph",
            f"{served.calls_per_s / alone.calls_per_s:.0f} times as many calls/s, network included",
        ),
    ]
    return "\n".join(
        ["", *(f"  {line}".rstrip() for line in picture), ""]
        + [f"  {name:<22} {value}" for name, value in facts]
        + [""]
    )


def paste_lines(server: Server, sample: Path) -> list[tuple[str, str]]:
    """Shell commands that call the server, each under the name of its client.

    Args:
        sample: an image as .npy; beside it lies the same in JSON, as TensorFlow Serving's REST takes it.
    """
    address = server.address
    python = shlex.quote(sys.executable)
    beside = Path(sys.executable).with_name("hotgraph")
    hotgraph = shlex.quote(str(beside)) if beside.exists() else f"{python} -m hotgraph_server"
    # Single quotes inside, double ones around: a person can read and change what they paste.
    ours = (
        f"import numpy as np; from hotgraph_client import Client; "
        f"print(Client('{address}').predict('{DIGITS}', {{'images': np.load('{sample}')}}))"
    )
    theirs = (
        f"import numpy as np, tritonclient.grpc as triton; x = np.load('{sample}'); "
        f"i = triton.InferInput('images', x.shape, 'FP32'); i.set_data_from_numpy(x); "
        f"print(triton.InferenceServerClient('{address}').infer('{DIGITS}', [i]).as_numpy('classes'))"
    )
    there = importlib.util.find_spec("tritonclient") is not None
    install = "" if there else f"{python} -m pip install -q 'tritonclient[grpc]' && "
    return [
        ("Python, hotgraph_client", f'{python} -c "{ours}"'),
        (
            "the command line",
            f"{hotgraph} predict {address} {DIGITS} --input images={shlex.quote(str(sample))}",
        ),
        ("tritonclient, NVIDIA's client for Triton", f'{install}{python} -c "{theirs}"'),
        (
            f"curl, over HTTP; in a browser: http://{server.http_address}/docs",
            f"curl -d @{shlex.quote(str(sample.with_suffix('.json')))}"
            f" http://{server.http_address}/v1/models/{DIGITS}:predict",
        ),
    ]


@contextlib.contextmanager
def stderr_into(log: Path) -> Iterator[None]:
    """Send what C++ code says on stderr into a file: TensorFlow greets everyone with a page about CUDA."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def show(text: str) -> None:
    """A line that the next one overwrites; nothing where nobody watches."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


def say(text: str) -> None:
    """A line that stays."""
    show("")
    print(text, flush=True)


def quickstart(folder: Path, options: Options) -> None:
    """The whole story; logs and the sample go into `folder`."""
    images, labels = heldout_digits()
    promised = json.loads((digits_model() / "training.json").read_text())["heldout_accuracy"]
    began = time.monotonic()
    say("starting a server with the built-in model")
    server = start_server(folder)
    kept = False
    try:
        with Client(server.address) as client:
            client.wait_ready(DIGITS, timeout_s=CALL_S)
            took = f"{time.monotonic() - began:.1f} s"
            say(f"serving on {server.address}, and over HTTP on {server.http_address}, after {took}")
            say(f"{options.calls:,} calls of one image each, {options.callers} at a time")
            (before,) = client.statistics(DIGITS)
            served = call_in_parallel(
                client, images, options.calls, options.callers, lambda done: show(f"  {done:,} done")
            )
            (after,) = client.statistics(DIGITS)
        say(f"{options.alone_calls} calls with a new graph and a new session each, without a server")
        with stderr_into(folder / "tensorflow.log"):
            alone = call_with_new_sessions(images, options.alone_calls)
        accuracy = check_answers(served, alone, labels, promised)
        say(report(images[0], served, alone, accuracy, rows_per_batch(before, after), options.callers))
        if options.keep:
            sample = folder / "digit.npy"
            np.save(sample, images[:1])
            sample.with_suffix(".json").write_text(json.dumps({"instances": images[:1].tolist()}))
            say(f"The server stays up. Its log: {server.log}   To stop it: kill {server.process.pid}\n")
            for name, line in paste_lines(server, sample):
                say(f"# {name}\n{line}\n")
            kept = True
    finally:
        if not kept:
            stop_server(server.process)


def main() -> int:
    options = parse()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a terminal without block characters shows question marks instead
        sys.stdout.reconfigure(errors="replace")
    folder = Path(tempfile.mkdtemp(prefix="hotgraph-quickstart-"))
    try:
        quickstart(folder, options)
    except (NoServer, WrongAnswers, HotgraphError) as failed:
        say("")
        print(f"quickstart failed: {failed}\n(logs: {folder})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        print("\nstopped", file=sys.stderr)
        return 130
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
