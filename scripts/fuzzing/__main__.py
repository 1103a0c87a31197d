"""Started by scripts/fuzz."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.saved_models import SavedModels

from fuzzing import calls
from fuzzing.campaign import Judged, Part, Tally, Traffic, run, stream, unary
from fuzzing.edges import EDGES, Http2Part, RestPart
from fuzzing.models import GOOD, make_repository
from fuzzing.options import Options, parse
from fuzzing.sending import Sender
from fuzzing.target import Burden, Target, running, serving
from fuzzing.verdict import alarms

_MAX_SHOWN = 20
# Threads and files that come and go: connections that are being closed, grpc's own.
_SLACK = 8
# grpc's own server makes a thread for a call while none is idle, up to what its pools may have.
_POOLED = 256


def main() -> int:
    """Fuzz as the command line says; returns the exit status."""
    options = parse()
    with tempfile.TemporaryDirectory(prefix="hotgraph-fuzz-") as folder:
        work = Path(folder)
        saved_models = SavedModels(work / "saved_models")
        (work / "saved_models").mkdir()
        print("building models", file=sys.stderr, flush=True)
        make_repository(saved_models, work / "repository")
        return fuzz(options, saved_models["two_in_two_out"], work)


def fuzz(options: Options, good: Path, work: Path) -> int:
    """Fuzz a server over the models of `work`; returns the exit status.

    Args:
        good: the SavedModel of GOOD.
        work: a folder with `repository` (models.make_repository), for the server's files as well.
    """
    faults: list[str] = []
    if options.parts != ("reloading",):
        faults += _fuzz_calls(options, good, work)
    if "reloading" in options.parts:
        faults += _fuzz_reloading(options, good, work)
    for line in faults[:_MAX_SHOWN]:
        print(f"FAULT {line}")
    if len(faults) > _MAX_SHOWN:
        print(f"and {len(faults) - _MAX_SHOWN} more")
    print("nothing is wrong" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


def _fuzz_calls(options: Options, good: Path, work: Path) -> list[str]:
    """All parts but reloading; returns what was wrong."""
    flags = () if options.fast_lane else ("--no-fast-lane",)
    faults = []
    with serving(work / "repository", good, work, flags) as (target, key):
        sender = Sender(target.address)
        sender.call(calls.V2 + "SystemSharedMemoryRegister", calls.registering(key))
        sender.close()
        for part, share in zip(_parts(options, key, work / "repository"), (1, 10, 50), strict=True):
            if part.name in options.parts:
                faults += _run(options, part, options.count // share, target)
        # HTTP/2 is grpc's own affair where it serves.
        edges = (Http2Part(target.address, options.seed), RestPart(target.rest, options.seed))
        for edge in edges if options.fast_lane else edges[1:]:
            if edge.name in options.parts:
                faults += _run(options, edge, options.count, target)
    return faults


def _fuzz_reloading(options: Options, good: Path, work: Path) -> list[str]:
    # A folder of versions, as TensorFlow Serving wants it.
    versions = work / "versions"
    versions.mkdir()
    (versions / "1").symlink_to(good)
    part = Part("reloading", [calls.reloading(str(versions))], options.seed)
    config = work / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "{GOOD}" base_path: "{versions}"'
        ' model_platform: "tensorflow" } }'
    )
    words = ["tensorflow-model-server", "--host=127.0.0.1", "--port=0", f"--model_config_file={config}"]
    with running(words, work) as target:
        return _run(options, part, options.count // 200, target, str(versions))


def _parts(options: Options, key: str, repository: Path) -> list[Part]:
    saved = repository / "scalars" / "1" / "model.savedmodel"
    files = {
        f"file:1/model.savedmodel/{path.relative_to(saved)}": path.read_bytes()
        for path in sorted(saved.rglob("*"))
        if path.is_file()
    }
    return [
        Part("inference", calls.inference(), options.seed),
        Part("prediction", calls.prediction(), options.seed),
        Part("management", calls.management(key, files), options.seed),
    ]


def _run(options: Options, part: Traffic, count: int, target: Target, versions: str = "") -> list[str]:
    """Send a part's cases; returns what was wrong."""
    if options.only is not None:
        return _send_one(options.only[1], part, target)
    slack = _SLACK if options.fast_lane else _POOLED
    began = time.monotonic()
    seen: list[Burden] = [target.burden()]

    def progress(tally: Tally) -> None:
        if target.ended:
            raise SystemExit(f"FAULT {part.name}: the server has ended: {target.last_words()}")
        if len(seen) == 1 and tally.cases * 10 >= count:
            seen.append(target.burden())
        _show(f"{part.name} {tally.cases} of {count}, {len(tally.faults)} faults")

    def restore(sender: Sender) -> None:
        if part.name == "management":
            sender.call(calls.V2 + "LogSettings", calls.restored_logs())
        elif part.name == "reloading":
            for request in calls.restored_models(versions):
                sender.call(calls.MODELS + "HandleReloadConfigRequest", request)

    # What changes the whole server is done by one sender: others would not find what they have restored.
    senders = 1 if part.name in ("management", "reloading") else options.senders
    tally = run(part, count, target.address, senders, progress, restore)
    _show("")
    start = seen[-1]
    end = target.settled(start, _SLACK)
    took = time.monotonic() - began
    codes = ", ".join(f"{code} {number}" for code, number in tally.codes.most_common())
    print(f"{part.name}: {tally.cases} cases in {took:.0f} s, {tally.good} good calls in between: {codes}")
    if isinstance(part, Http2Part):
        print(
            "  streams: " + ", ".join(f"{status} {number}" for status, number in part.statuses.most_common())
        )
    print(
        f"  memory {seen[0].resident_mib:.0f} -> {start.resident_mib:.0f} -> {end.resident_mib:.0f} MiB, "
        f"threads {seen[0].threads} -> {start.threads} -> {end.threads}, "
        f"files {seen[0].files} -> {start.files} -> {end.files} (start, a tenth, end); "
        f"slowest {tally.slowest_s:.2f} s",
        flush=True,
    )
    wrong = [f"{name} {text[:500]}" for name, text in tally.faults]
    wrong += [f"{part.name}: log: {line}" for line in alarms(target.log())]
    if part.name in ("inference", "prediction", *EDGES):
        if end.resident_mib - start.resident_mib > options.memory_mib:
            wrong.append(
                f"{part.name}: memory grew from {start.resident_mib:.0f} to {end.resident_mib:.0f} MiB"
            )
        for what in ("threads", "files"):
            if getattr(end, what) - getattr(start, what) > (slack if what == "threads" else _SLACK):
                wrong.append(f"{part.name}: {what} grew from {getattr(start, what)} to {getattr(end, what)}")
    return wrong


def _send_one(number: int, part: Traffic, target: Target) -> list[str]:
    """Send one case and tell all about it; returns what was wrong."""
    if isinstance(part, Http2Part | RestPart):
        judged = [part.judge(number)]
        print(f"{judged[0][0].name}, {len(judged[0][0].message)} bytes: {judged[0][0].message[:4000]!r}")
    else:
        assert isinstance(part, Part)
        judged = _send_call(number, part, target)
    for _, outcome, _ in judged:
        print(f"{outcome.code} {outcome.text[:2000]!r} after {outcome.waited_s:.3f} s")
    return [found for _, _, found in judged if found] + alarms(target.log())


def _send_call(number: int, part: Part, target: Target) -> Judged:
    kind, case = part.case(number)
    print(f"{case.name} {case.method}, {len(case.message)} bytes: {case.message[:4000]!r}")
    try:
        text = str(type(kind.messages[0]).FromString(case.message))
        print(text if len(text) < 4000 else f"{text[:4000]} ...")
    except Exception as error:
        print(f"which is no message: {error}")
    sender = Sender(target.address)
    judged = (stream if kind.streamed else lambda sender, cases, _: unary(sender, cases))(sender, [case], 1)
    sender.close()
    return judged


def _show(text: str) -> None:
    """On a terminal, one line that rewrites itself."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
