"""Connections that another process has accepted."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from hotgraph_server.transport.handed_over import HandedOver, hand_over

PATIENCE_S = 30.0


Ends = tuple[socket.socket, HandedOver]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """That of who hands over, and that of who takes."""
    channel, theirs = socket.socketpair()
    handed = HandedOver(theirs)
    handed.setblocking(False)
    channel.settimeout(PATIENCE_S)
    yield channel, handed
    channel.close()
    handed.close()


def given(channel: socket.socket) -> socket.socket:
    """A connection that was handed over; returns the caller's end."""
    caller, accepted = socket.socketpair()
    with accepted:
        hand_over(channel, accepted)
    return caller


def test_connections_come_one_by_one_in_their_order(ends: Ends) -> None:
    channel, handed = ends
    callers = [given(channel) for _ in range(3)]
    for number, caller in enumerate(callers):
        sock, _ = handed.accept()
        with sock, caller:
            assert not sock.get_inheritable()
            sock.sendall(b"%d" % number)
            assert caller.recv(9) == b"%d" % number
    with pytest.raises(BlockingIOError):
        handed.accept()


def test_who_hands_over_hears_of_each_that_was_closed(ends: Ends) -> None:
    channel, handed = ends
    for _ in range(2):
        given(channel).close()
        handed.accept()[0].close()
    assert not handed.wait_until_none(0.0)
    assert channel.recv(9) == b"++"
    handed.closed()
    assert channel.recv(9) == b"-"
    assert not handed.wait_until_none(0.0)
    handed.closed()
    assert channel.recv(9) == b"-"
    assert handed.wait_until_none(0.0)


def test_what_could_not_be_told_is_told_with_the_next_one(ends: Ends) -> None:
    channel, handed = ends
    told = 0
    # Until nothing goes any more, and on.
    for _ in range(100_000):
        handed.closed()
    channel.setblocking(False)
    while True:
        try:
            told += len(channel.recv(2**20))
        except BlockingIOError:
            break
    handed.closed()
    assert told + len(channel.recv(2**20)) == 100_001


def test_the_end_comes_behind_the_last_connection(ends: Ends) -> None:
    channel, handed = ends
    caller = given(channel)
    channel.shutdown(socket.SHUT_WR)
    assert not handed.wait_for_the_last(0.0)
    with handed.accept()[0], caller:
        pass
    with pytest.raises(EOFError):
        handed.accept()
    assert handed.wait_for_the_last(0.0)


def test_process_without_files_loses_the_connection_and_says_why(ends: Ends) -> None:
    channel, handed = ends
    caller = given(channel)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = os.dup(channel.fileno())
    os.close(least)
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, before[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)) as raised:
            handed.accept()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert raised.value.errno == errno.EMFILE
    # Its caller sees it closed, and who handed it over is told.
    caller.settimeout(PATIENCE_S)
    assert caller.recv(1) == b""
    assert channel.recv(9) == b"+-"
    caller.close()
