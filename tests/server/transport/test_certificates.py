"""Certificates that are renewed while a server runs, looked at when the test says so."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
import trustme

from hotgraph_server.access.peers import AllowedPeers
from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.settings import ListenSettings
from hotgraph_server.transport import certificates
from hotgraph_server.transport.certificates import CLIENT_CA, SERVER, Certificates
from hotgraph_server.transport.server import CallServer

from ..fakes import until
from .conftest import PATIENCE_S, TRANSPORTS, Toys, hot

DAY_S = 86_400.0
NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)


class Issued(NamedTuple):
    """A certificate with what is needed to use it."""

    authority: trustme.CA
    leaf: trustme.LeafCert

    @property
    def chain(self) -> bytes:
        return b"".join(blob.bytes() for blob in self.leaf.cert_chain_pems)

    @property
    def key(self) -> bytes:
        return self.leaf.private_key_pem.bytes()


def issued(authority: trustme.CA, days: float = 90.0) -> Issued:
    end = NOW + datetime.timedelta(days=days)
    return Issued(authority, authority.issue_cert("localhost", "127.0.0.1", not_after=end))


class Folder:
    """Files as Kubernetes mounts a secret: names that lead through a link to a folder of the present version,
    which is swapped in one step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._versions = 0

    def path(self, name: str) -> str:
        return str(self.root / name)

    def swap(self, **files: bytes) -> None:
        """All files in the place of those that are there."""
        self._versions += 1
        version = self.root / f"..{self._versions}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_bytes(content)
            if not (self.root / name).is_symlink():
                (self.root / name).symlink_to(Path("..data") / name)
        link = self.root / "..next"
        link.symlink_to(version.name)
        os.replace(link, self.root / "..data")

    def settings(self, **more: Any) -> ListenSettings:
        return ListenSettings(
            **{"port": 0, "tls_cert": self.path("crt"), "tls_key": self.path("key"), **more}
        )


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


Shown = Callable[[], bytes | None]


def shown(context: ssl.SSLContext) -> bytes | None:
    """The certificate that a caller gets to see, whoever signed it; DER."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname, theirs.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = theirs.wrap_bio(to_client, to_server)
    shaking = [client, server]
    while shaking:
        for one in list(shaking):
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                continue
            shaking.remove(one)
    return client.getpeercert(binary_form=True)


def der(one: Issued) -> bytes:
    return ssl.PEM_cert_to_DER_cert(one.leaf.cert_chain_pems[0].bytes().decode())


class TestLooking:
    def test_renewed_certificate_counts_from_the_next_handshake_on(
        self, folder: Folder, authority: trustme.CA, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = issued(authority), issued(authority)
        folder.swap(crt=first.chain, key=first.key)
        ours = Certificates(folder.settings())
        context = ours.context(["h2"])
        before = context()
        ours.look()
        assert context() is before
        folder.swap(crt=second.chain, key=second.key)
        assert shown(context()) == der(first)
        with caplog.at_level(logging.INFO):
            ours.look()
        assert shown(context()) == der(second)
        assert "changed, and count from now on" in caplog.text

    def test_files_that_are_written_over_in_place_are_seen_too(
        self, tmp_path: Path, authority: trustme.CA
    ) -> None:
        """Even within one tick of the disk's clock, and of the same length."""
        first, second = issued(authority), issued(authority)
        cert, key = tmp_path / "crt", tmp_path / "key"
        cert.write_bytes(first.chain)
        key.write_bytes(first.key)
        times = (os.stat(cert).st_atime_ns, os.stat(cert).st_mtime_ns)
        ours = Certificates(ListenSettings(tls_cert=str(cert), tls_key=str(key)))
        context = ours.context(["h2"])
        cert.write_bytes(second.chain)
        key.write_bytes(second.key)
        os.utime(cert, ns=times)
        os.utime(key, ns=times)
        ours.look()
        assert shown(context()) == der(second)

    def test_each_door_keeps_its_protocols(self, folder: Folder, authority: trustme.CA) -> None:
        first, second = issued(authority), issued(authority)
        folder.swap(crt=first.chain, key=first.key)
        ours = Certificates(folder.settings())
        doors = [ours.context(["h2"]), ours.context(["http/1.1", "h2"]), ours.context(["h2"])]
        assert doors[0]() is doors[2]() is not doors[1]()
        folder.swap(crt=second.chain, key=second.key)
        ours.look()
        assert {shown(door()) for door in doors} == {der(second)}

    @pytest.mark.parametrize("wrong", ["mismatched", "garbage", "empty", "key missing", "ca garbage"])
    def test_broken_pair_keeps_the_old_certificate_and_is_told_once(
        self, folder: Folder, authority: trustme.CA, caplog: pytest.LogCaptureFixture, wrong: str
    ) -> None:
        first, second, third = (issued(authority) for _ in range(3))
        ca = authority.cert_pem.bytes()
        folder.swap(crt=first.chain, key=first.key, ca=ca)
        ours = Certificates(folder.settings(tls_client_ca=folder.path("ca")))
        context = ours.context(["h2"])
        before, ends = context(), ours.expiries
        broken: dict[str, dict[str, bytes]] = {
            "mismatched": {"crt": second.chain, "key": third.key, "ca": ca},
            "garbage": {"crt": b"no certificate", "key": second.key, "ca": ca},
            "empty": {"crt": b"", "key": b"", "ca": b""},
            "key missing": {"crt": second.chain, "ca": ca},
            "ca garbage": {"crt": second.chain, "key": second.key, "ca": b"none"},
        }
        folder.swap(**broken[wrong])
        for _ in range(5):
            ours.look()
        assert context() is before
        assert ours.expiries == ends
        (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert "the certificate that is in use stays" in line.getMessage()
        if wrong == "key missing":
            assert f"--tls-key {folder.path('key')}: No such file" in line.getMessage()
        # What is broken in another way is news, and what is whole is taken.
        folder.swap(crt=third.chain, key=b"still none", ca=ca)
        for _ in range(3):
            ours.look()
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 2
        folder.swap(crt=third.chain, key=third.key, ca=ca)
        ours.look()
        assert context() is not before

    def test_look_that_falls_between_two_writes_is_no_news(
        self, folder: Folder, authority: trustme.CA, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = issued(authority), issued(authority)
        folder.swap(crt=first.chain, key=first.key)
        ours = Certificates(folder.settings())
        context = ours.context(["h2"])
        folder.swap(crt=second.chain, key=first.key)
        ours.look()
        folder.swap(crt=second.chain, key=second.key)
        ours.look()
        assert shown(context()) == der(second)
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

    def test_same_trouble_after_it_was_mended_is_told_again(
        self, folder: Folder, authority: trustme.CA, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = issued(authority), issued(authority)
        folder.swap(crt=first.chain, key=first.key)
        ours = Certificates(folder.settings())
        for _ in range(2):
            folder.swap(crt=first.chain, key=second.key)
            ours.look()
            ours.look()
            folder.swap(crt=first.chain, key=first.key)
            ours.look()
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 2

    @pytest.mark.parametrize("nothing", [b"", b" \n", b"# no certificate\n"])
    def test_authorities_of_which_none_is_left_let_nobody_in(
        self, folder: Folder, authority: trustme.CA, nothing: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A file that is being written is empty for a moment; without authorities TLS asks for nothing."""
        one = issued(authority)
        files = {"crt": one.chain, "key": one.key, "ca": authority.cert_pem.bytes()}
        folder.swap(**files)
        settings = folder.settings(tls_client_ca=folder.path("ca"))
        ours = Certificates(settings)
        context = ours.context(["h2"])
        before = context()
        folder.swap(**{**files, "ca": nothing})
        for _ in range(3):
            ours.look()
            assert context() is before
        assert before.verify_mode is ssl.CERT_REQUIRED
        assert len(caplog.records) == 1
        with pytest.raises(StartError):
            Certificates(settings)

    def test_files_that_are_wrong_at_the_start_end_it(self, folder: Folder, authority: trustme.CA) -> None:
        folder.swap(crt=issued(authority).chain)
        with pytest.raises(SettingsError, match=r"--tls-key .*: No such file"):
            Certificates(folder.settings())


class TestEnds:
    def now(self, days: float = 0.0) -> float:
        return NOW.timestamp() + days * DAY_S

    def test_ends_are_of_the_servers_certificate_and_of_the_authorities(
        self, folder: Folder, authority: trustme.CA
    ) -> None:
        """Of a chain the first to end counts, of authorities the last, for a file that is being renewed has
        old and new ones."""
        first, second = issued(authority, days=3), issued(authority, days=4)
        files = {"crt": second.chain + first.chain, "key": second.key, "ca": first.chain + second.chain}
        folder.swap(**files)
        ours = Certificates(folder.settings(tls_client_ca=folder.path("ca")))
        assert ours.expiries == {SERVER: self.now(3), CLIENT_CA: self.now(4)}
        folder.swap(**{**files, "crt": second.chain})
        ours.look()
        assert ours.expiries == {SERVER: self.now(4), CLIENT_CA: self.now(4)}

    def test_without_authorities_there_is_one_end(self, folder: Folder, authority: trustme.CA) -> None:
        one = issued(authority, days=3)
        folder.swap(crt=one.chain, key=one.key)
        assert Certificates(folder.settings()).expiries == {SERVER: self.now(3)}

    def test_end_that_comes_near_is_told_once_a_day(
        self, folder: Folder, authority: trustme.CA, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = issued(authority, days=30)
        folder.swap(crt=first.chain, key=first.key)
        clock = [0.0]
        ours = Certificates(folder.settings(), lambda: self.now(clock[0]))
        told = []
        for tenth in range(0, 320):
            clock[0] = tenth / 10
            ours.warn_of_the_end()
            told += [(clock[0], record.getMessage()) for record in caplog.records]
            caplog.clear()
        assert [round(at) for at, _ in told] == list(range(23, 32))
        assert "expires in 7.0 days" in told[0][1]
        assert "has expired" in told[-1][1]

    def test_renewal_ends_the_warnings(
        self, folder: Folder, authority: trustme.CA, caplog: pytest.LogCaptureFixture
    ) -> None:
        for days, count in ((1, 1), (90, 0)):
            one = issued(authority, days=days)
            folder.swap(crt=one.chain, key=one.key)
            ours = Certificates(folder.settings(), self.now)
            ours.warn_of_the_end()
            assert len(caplog.records) == count
            caplog.clear()


def peer_certificate(server: CallServer, trusted: trustme.CA) -> bytes | None:
    """That a new caller gets to see."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    host, _, port = server.address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), PATIENCE_S) as sock,
        context.wrap_socket(sock, server_hostname=host) as tls,
    ):
        return tls.getpeercert(binary_form=True)


def open_channel(server: CallServer, trusted: trustme.CA, leaf: trustme.LeafCert | None) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(
        trusted.cert_pem.bytes(),
        leaf.private_key_pem.bytes() if leaf else None,
        leaf.cert_chain_pems[0].bytes() if leaf else None,
    )
    # Otherwise channels to one address would share a connection.
    return grpc.secure_channel(server.address, credentials, [("grpc.use_local_subchannel_pool", 1)])


@pytest.fixture(params=TRANSPORTS)
def serve(request: pytest.FixtureRequest, toys: Toys, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts servers that look at their files very often."""
    monkeypatch.setattr(certificates, "LOOK_S", 0.01)
    servers: list[CallServer] = []

    def start(settings: ListenSettings, allowed: Sequence[str] = ()) -> CallServer:
        settings = dataclasses.replace(settings, **TRANSPORTS[request.param])
        allows = AllowedPeers(allowed).refusal if allowed else None
        servers.append(CallServer(settings, [toys.service], allows=allows))
        servers[-1].start()
        return servers[-1]

    yield start
    toys.release_all()
    for server in servers:
        server.stop(0)


ServeTls = Callable[..., CallServer]


class TestServing:
    def test_new_callers_see_the_new_certificate_and_open_connections_go_on(
        self, serve: ServeTls, folder: Folder, authority: trustme.CA
    ) -> None:
        first, second = issued(authority), issued(authority)
        folder.swap(crt=first.chain, key=first.key)
        server = serve(folder.settings())
        with open_channel(server, authority, None) as channel:
            assert hot(channel, "Echo")(b"before", timeout=PATIENCE_S) == b"before"
            assert peer_certificate(server, authority) == der(first)
            folder.swap(crt=second.chain, key=second.key)
            until(lambda: peer_certificate(server, authority) == der(second))
            assert hot(channel, "Echo")(b"after", timeout=PATIENCE_S) == b"after"
            folder.swap(crt=b"none", key=b"none")
            assert peer_certificate(server, authority) == der(second)
        assert server.certificate_expiries[SERVER] == (NOW + datetime.timedelta(days=90)).timestamp()

    def test_new_authority_of_callers_counts_for_new_ones(
        self, serve: ServeTls, folder: Folder, authority: trustme.CA
    ) -> None:
        one, old, new = issued(authority), trustme.CA(), trustme.CA()
        folder.swap(crt=one.chain, key=one.key, ca=old.cert_pem.bytes())
        server = serve(folder.settings(tls_client_ca=folder.path("ca")))

        def answers(signer: trustme.CA) -> bool:
            with open_channel(server, authority, signer.issue_cert("web")) as channel:
                call = hot(channel, "Echo").future(b"hello", timeout=PATIENCE_S)
                assert call.code() in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
                return call.code() is grpc.StatusCode.OK

        assert (answers(old), answers(new)) == (True, False)
        folder.swap(crt=one.chain, key=one.key, ca=new.cert_pem.bytes())
        until(lambda: answers(new))
        assert not answers(old)


class TestAllowed:
    """Whose calls are taken, of those with a certificate that is good."""

    @pytest.fixture
    def server(self, serve: ServeTls, folder: Folder, authority: trustme.CA) -> CallServer:
        one = issued(authority)
        folder.swap(crt=one.chain, key=one.key, ca=authority.cert_pem.bytes())
        settings = folder.settings(tls_client_ca=folder.path("ca"), tls_allow=("web.example",))
        return serve(settings, settings.tls_allow)

    def test_caller_that_is_listed_is_answered_and_another_one_refused_whatever_it_calls(
        self, server: CallServer, authority: trustme.CA
    ) -> None:
        with open_channel(server, authority, authority.issue_cert("web.example")) as channel:
            assert hot(channel, "Echo")(b"hello", timeout=PATIENCE_S) == b"hello"
        with open_channel(server, authority, authority.issue_cert("evil.example")) as channel:
            for path in ("/test.Toys/Echo", "/test.Toys/Plain", "/grpc.health.v1.Health/Check"):
                call: Any = channel.unary_unary(path)
                with pytest.raises(grpc.RpcError) as raised:
                    call(b"", timeout=PATIENCE_S)
                assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED, path
                assert "evil.example" in (raised.value.details() or "")

    def test_caller_without_a_certificate_does_not_get_that_far(
        self, server: CallServer, authority: trustme.CA
    ) -> None:
        with (
            open_channel(server, authority, None) as channel,
            pytest.raises(grpc.RpcError) as raised,
        ):
            hot(channel, "Echo")(b"hello", timeout=PATIENCE_S)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
