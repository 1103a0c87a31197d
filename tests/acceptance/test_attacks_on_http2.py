"""Callers of the gRPC port who break HTTP/2's manners, each with a good caller beside it.

The good caller has a connection of its own and makes twenty calls a second. None of them may fail; how long
they took stands in every failure's message, beside what they take in peace.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from hotgraph_server.transport.http2 import frames
from hotgraph_server.transport.http2.frames import END_STREAM, Code, frame

from .command import Serving, serve
from .floods import BORNE, CUT_OFF, GREETING, PATIENCE_S, Flood, Peer, again, data, message, opening

MIB = 2**20
BUDGET_MIB = 64
PERIOD_S = 1 / 20
CALLS = 12  # of the good caller beside each attack, at least
FACTOR = 5
# What p99 may be on a machine that others use, whatever it was in peace.
FLOOR_S = 0.05

RESOURCE_EXHAUSTED = 8

# More than what is left when half of the budget is held.
LARGE_ROWS = BUDGET_MIB * MIB * 5 // 16 // 784 // 4


def request(rows: int = 1) -> Any:
    """Of digits."""
    found = service_pb2.ModelInferRequest(model_name="digits")
    tensor = found.inputs.add(name="images", datatype="FP32")
    tensor.shape.extend([rows, 784])
    found.raw_input_contents.append(np.full((rows, 784), 0.5, np.float32).tobytes())
    return found


ONE = request()


def p99_s(waited_s: list[float]) -> float:
    return sorted(waited_s)[int(len(waited_s) * 0.99)]


class Attacked:
    """A server, and its good caller."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.address = serving.address
        self._channel = grpc.insecure_channel(serving.address, [("grpc.max_receive_message_length", -1)])
        self.stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self.stub.ModelInfer(ONE, timeout=PATIENCE_S)
        self.quiet_s = self.calls(CALLS)

    def refusal(self, what: Any) -> str:
        """Why a call is refused; empty: it is not."""
        try:
            self.stub.ModelInfer(what, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return str(error.details())
        return ""

    def calls(self, at_least: int, over: threading.Event | None = None) -> list[float]:
        """Twenty a second, so many and until the event: what each took, seconds."""
        waited_s: list[float] = []
        while len(waited_s) < at_least or (over is not None and not over.is_set()):
            begun = time.monotonic()
            self.stub.ModelInfer(ONE, timeout=PATIENCE_S)
            waited_s.append(time.monotonic() - begun)
            time.sleep(max(PERIOD_S - waited_s[-1], 0.0))
        return waited_s

    @contextlib.contextmanager
    def good_caller(self) -> Iterator[list[float]]:
        """Calls meanwhile; what each took is known afterwards. Fails if one of them does."""
        waited_s: list[float] = []
        failed: list[Exception] = []
        over = threading.Event()

        def call() -> None:
            try:
                waited_s.extend(self.calls(CALLS, over))
            except Exception as error:
                failed.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        try:
            yield waited_s
        finally:
            over.set()
            caller.join()
            assert not failed, f"the good caller's call failed: {failed[0]}; {self.told(waited_s)}"

    def told(self, waited_s: list[float]) -> str:
        """The figures."""
        quiet_s = p99_s(self.quiet_s)
        if not waited_s:
            return f"p99 in peace {quiet_s * 1e3:.1f} ms"
        return f"p99 {p99_s(waited_s) * 1e3:.1f} ms beside the attack, {quiet_s * 1e3:.1f} ms in peace"

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.serving.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    with serve("--port", "0", "--max-inflight-mb", str(BUDGET_MIB)) as serving:
        found = Attacked(serving)
        yield found
        found.close()
        assert serving.process.poll() is None
        assert not any("Traceback" in line for line in serving.lines)


@contextlib.contextmanager
def peers(attacked: Attacked, count: int, greeting: bytes = GREETING) -> Iterator[list[Peer]]:
    """Connections that are closed at the end."""
    found = [Peer(attacked.address, greeting) for _ in range(count)]
    try:
        yield found
    finally:
        for peer in found:
            peer.close()


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 8])
@pytest.mark.parametrize("name", CUT_OFF)
def test_flood_that_carries_no_calls_is_told_to_be_calm(attacked: Attacked, name: str, count: int) -> None:
    with attacked.good_caller() as waited_s:
        flood = Flood(attacked.address, CUT_OFF[name], count, PATIENCE_S)
        flood.wait()
    assert len(flood.told) == count, attacked.told(waited_s)
    assert set(flood.told) == {Code.ENHANCE_YOUR_CALM}, f"{flood.told}; {attacked.told(waited_s)}"


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", BORNE)
def test_flood_of_what_looks_like_work_has_its_turn_and_no_more(
    attacked: Attacked, name: str, count: int
) -> None:
    with attacked.good_caller() as waited_s:
        flood = Flood(attacked.address, BORNE[name], count, CALLS * PERIOD_S)
        flood.wait()
    assert set(flood.told) <= {None, Code.ENHANCE_YOUR_CALM}, attacked.told(waited_s)


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", ["PING", "health"])
def test_peer_that_reads_nothing_is_not_read_any_more(attacked: Attacked, name: str, count: int) -> None:
    before = attacked.resident_mib()
    with attacked.good_caller() as waited_s:
        Flood(attacked.address, (CUT_OFF | BORNE)[name], count, CALLS * PERIOD_S, reads=False).wait()
    # 8 MiB unsent, and what has been read of each.
    grown = attacked.resident_mib() - before
    assert grown < 32 + 16 * count, f"{grown:.0f} MiB; {attacked.told(waited_s)}"


@pytest.mark.parametrize("greeted", [False, True])
def test_connections_that_come_and_go_are_no_trouble(attacked: Attacked, greeted: bool) -> None:
    host, _, port = attacked.address.rpartition(":")
    with attacked.good_caller() as waited_s:
        ends_at = time.monotonic() + CALLS * PERIOD_S
        while time.monotonic() < ends_at:
            with socket.create_connection((host, int(port)), PATIENCE_S) as client:
                if greeted:
                    client.sendall(GREETING)
    assert waited_s


def large_opening(number: int, size: int) -> bytes:
    """Headers with so many bytes of metadata, in as many frames as they need."""
    whole = opening(number, "ServerLive", ("x", "~" * size))[frames.HEADER_BYTES :]
    parts = [whole[at : at + 16_000] for at in range(0, len(whole), 16_000)]
    last = len(parts) - 1
    return b"".join(
        frame(frames.CONTINUATION if at else frames.HEADERS, frames.END_HEADERS * (at == last), number, part)
        for at, part in enumerate(parts)
    )


def test_call_with_much_metadata_ends_and_its_neighbours_go_on(attacked: Attacked) -> None:
    with attacked.good_caller(), peers(attacked, 1) as (peer,):
        peer.send(opening(1, "/grpc.health.v1.Health/Watch") + data(1, message(b""), END_STREAM))
        peer.send(opening(3, "ModelInfer"))
        for number in range(5, 25, 2):
            peer.send(large_opening(number, 17_000))
        peer.read_until(lambda peer: len(peer.statuses) == 10)
        assert set(peer.statuses.values()) == {RESOURCE_EXHAUSTED}
        peer.send(data(3, message(ONE.SerializeToString()), END_STREAM))
        peer.send(opening(25, "ServerLive") + data(25, message(b""), END_STREAM))
        peer.read_until(lambda peer: {3, 25} <= set(peer.statuses))
        assert (peer.statuses[3], peer.statuses[25], 1 in peer.statuses) == (0, 0, False)
        assert peer.gone_away is None


def test_more_metadata_than_anybody_reads_ends_the_connection_and_no_other(attacked: Attacked) -> None:
    with attacked.good_caller(), peers(attacked, 8) as found:
        too_much = large_opening(1, 70_000)
        for peer in found:
            peer.send(too_much)
            peer.read_until(lambda peer: peer.gone_away is not None)
            assert peer.gone_away == Code.ENHANCE_YOUR_CALM


BOMB = gzip.compress(bytes(BUDGET_MIB * 4 * MIB), 1)


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer", "/grpc.health.v1.Health/Watch"])
def test_message_that_inflates_without_measure_is_refused_before_it_has(
    attacked: Attacked, method: str, count: int
) -> None:
    before = attacked.resident_mib()
    with attacked.good_caller() as waited_s, peers(attacked, count) as found:
        for peer in found:
            peer.send(opening(1, method, ("grpc-encoding", "gzip")) + data(1, message(BOMB, 1), END_STREAM))
        for peer in found:
            peer.read_until(lambda peer: 1 in peer.statuses)
            assert peer.statuses[1] != 0
    grown = attacked.resident_mib() - before
    assert grown < 2 * BUDGET_MIB, f"{grown:.0f} MiB; {attacked.told(waited_s)}"


@pytest.mark.parametrize("count", [1, 8])
def test_half_messages_have_one_budget_and_leave_room_in_it(attacked: Attacked, count: int) -> None:
    half = struct.pack(">BI", 0, 6 * MIB) + bytes(3 * MIB)
    with attacked.good_caller(), peers(attacked, count) as found:
        for peer in found:
            for number in range(1, 4 * BUDGET_MIB // 3 // count, 2):
                peer.send(opening(number, "ModelInfer") + data(number, half))
        # The first ones may have taken what was free then.
        found[-1].read_until(lambda peer: RESOURCE_EXHAUSTED in peer.statuses.values())
        attacked.calls(CALLS)
    # They have gone, and what they held with them, once that is seen.
    ends_at = time.monotonic() + PATIENCE_S
    while (refused := attacked.refusal(request(LARGE_ROWS))) and time.monotonic() < ends_at:
        time.sleep(PERIOD_S)
    assert not refused


CLOSED = frames.PREFACE + frames.settings({frames.INITIAL_WINDOW_SIZE: 0})


def unknown(size: int) -> bytes:
    """A request whose answer, an error, is as long."""
    return bytes(service_pb2.ModelInferRequest(model_name="digits", id="x" * size).SerializeToString())


@pytest.mark.parametrize("count", [1, 8])
def test_peer_that_sends_more_than_windows_allow_is_stopped(attacked: Attacked, count: int) -> None:
    wire = again(opening(1, "ModelStreamInfer"), data(1, message(unknown(2000))))
    with attacked.good_caller() as waited_s, peers(attacked, count, CLOSED) as found:
        for peer in found:
            peer.send_until(wire, lambda peer: peer.resets or peer.gone_away)
            codes = (peer.resets.get(1), peer.gone_away)
            assert Code.FLOW_CONTROL_ERROR in codes, attacked.told(waited_s)


@pytest.mark.parametrize("count", [1, 8])
def test_answers_that_nobody_reads_count_too(attacked: Attacked, count: int) -> None:
    wire = itertools.chain(
        [opening(1, "ModelStreamInfer")],
        itertools.repeat(data(1, message(unknown(MIB))), 4 * BUDGET_MIB // count),
    )
    before = attacked.resident_mib()
    with attacked.good_caller() as waited_s, peers(attacked, count, CLOSED) as found:
        for part in wire:
            for peer in found:
                peer.send(part)
    grown = attacked.resident_mib() - before
    assert grown < 2 * BUDGET_MIB, f"{grown:.0f} MiB; {attacked.told(waited_s)}"


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", CUT_OFF | BORNE)
def test_good_caller_waits_little_longer_beside_a_flood(attacked: Attacked, name: str, count: int) -> None:
    """Whoever is cut off comes back at once."""
    quiet_s: list[float] = []
    waited_s: list[float] = []
    for _ in range(3):
        quiet_s += attacked.calls(2 * CALLS)
        flood = Flood(attacked.address, (CUT_OFF | BORNE)[name], count, 5 * CALLS * PERIOD_S, comes_back=True)
        waited_s += attacked.calls(3 * CALLS)
        flood.wait()
    told = f"p99 {p99_s(waited_s) * 1e3:.1f} ms, in peace {p99_s(quiet_s) * 1e3:.1f} ms"
    assert p99_s(waited_s) < max(FACTOR * p99_s(quiet_s), FLOOR_S), told


@pytest.mark.slow
def test_peers_that_do_nothing_are_cut_off_whatever_they_send_to_look_alive(attacked: Attacked) -> None:
    """After a minute, or the next look after it."""
    ping = frame(frames.PING, 0, 0, bytes(8))
    with peers(attacked, 1, frames.PREFACE[:1]) as (dribbles,), peers(attacked, 3, CLOSED) as found:
        unread, half, neighbour = found
        unread.send(opening(1, "ModelMetadata") + data(1, message(b"\x0a\x06digits"), END_STREAM))
        half.send(opening(1, "ModelInfer") + data(1, struct.pack(">BI", 0, MIB)))
        neighbour.send(
            opening(1, "ModelMetadata")
            + data(1, message(b"\x0a\x06digits"), END_STREAM)
            + opening(3, "/grpc.health.v1.Health/Watch")
            + data(3, message(b""), END_STREAM)
            + frames.window_update(3, 1000)
        )
        readers = [threading.Thread(target=peer.read_on) for peer in (dribbles, *found)]
        for reader in readers:
            reader.start()
        begun = time.monotonic()
        while time.monotonic() - begun < 85.0 and not (dribbles.lost and unread.lost and half.lost):
            dribbles.send(frames.PREFACE[1:2] if time.monotonic() - begun < 5 else b"")
            for peer in found:
                peer.send(ping)
            time.sleep(1.0)
        assert (dribbles.lost, unread.lost, half.lost) == (True, True, True)
        assert (neighbour.lost, set(neighbour.resets)) == (False, {1})
        for peer in (dribbles, *found):
            peer.close()
        for reader in readers:
            reader.join()
