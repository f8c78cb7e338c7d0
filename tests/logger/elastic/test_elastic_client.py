"""What ElasticLogger sends and bears, by a server on loopback that shows what it was asked and fails as it is told."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import elasticsearch
import pytest

from assay.errors import ConfigError
from assay.logger.base import NotTaken, RunInfo
from assay.logger.elastic.logger import ElasticLogger
from assay.store.journal import Record
from servers import elastic_server, free_port

NOON = 1_795_694_400.0


def record(id_: int, **values: float) -> Record:
    return Record(id_, NOON, "train", 0, id_, id_ * 64, values or {"loss": 1 / (id_ + 1)})


@pytest.fixture
def info(tmp_path: Path) -> Callable[..., RunInfo]:
    def make() -> RunInfo:
        return RunInfo(tmp_path, "run-1", "digits", "resnet", {}, NOON)

    return make


class Showing(BaseHTTPRequestHandler):
    """Answers as Elasticsearch does, and keeps what it was asked; `failing` is what it fails at, in turns."""

    asked: list[tuple[str, str, str]]
    codes: list[int]

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        server: Any = self.server
        server.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
        code = server.codes.pop(0) if server.codes else 200
        body: dict[str, Any] = {"version": {"number": "9.5.3"}, "deleted": 0, "index_templates": [], "errors": False}
        if code == 413 and length < 2000:
            code = 200
        text = json.dumps(body if code == 200 else {"error": {"type": "e", "reason": "r"}, "status": code}).encode()
        self.send_response(code)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def showing() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Showing)
    server.asked, server.codes = [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_user_and_key_are_sent_and_said_nowhere(
    showing: Any, info: Callable[..., RunInfo], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    apart = showing.url.replace("http://", "http://me:s3cr%2Ft@")
    for arguments, header in (
        ({"username": "me", "password": "s3cr/t"}, basic("me", "s3cr/t")),
        ({"api_key": "a2V5OnMzY3IvdA"}, "ApiKey a2V5OnMzY3IvdA"),
        ({"url": apart}, basic("me", "s3cr/t")),
        ({}, ""),
    ):
        showing.asked.clear()
        logger = ElasticLogger(**({"url": showing.url} | arguments))
        logger.reach()
        logger.start(info())
        logger.log([record(0)])
        logger.close("completed")
        assert {authorization for *_, authorization in showing.asked} == {header}
        showing.codes[:] = [401]
        with pytest.raises(elasticsearch.AuthenticationException) as refusal:
            logger.log([record(1)])
        said = f"{refusal.value!r} {refusal.value} {caplog.text} {capfd.readouterr()}"
        for secret in ("s3cr", "a2V5", header.partition(" ")[2]):
            assert not secret or secret not in said
        assert "s3cr" not in str([path for _, path, _ in showing.asked])


def test_a_server_that_fails_every_other_time_holds_nothing_up(showing: Any, info: Callable[..., RunInfo]) -> None:
    logger = ElasticLogger(showing.url)
    showing.codes[:] = [500, 200] * 20
    logger.start(info())
    logger.log([record(0)])
    logger.close("completed")
    showing.codes[:] = [503] * 3
    with pytest.raises(elasticsearch.ApiError):
        logger.log([record(1)])


def test_a_batch_that_is_too_large_goes_in_parts(showing: Any, info: Callable[..., RunInfo]) -> None:
    logger = ElasticLogger(showing.url)
    logger.start(info())
    showing.asked.clear()
    showing.codes[:] = [413] * 30
    logger.log([record(id_) for id_ in range(16)])
    assert 3 <= len(showing.asked) <= 31
    showing.codes[:] = [413] * 30
    with pytest.raises(NotTaken) as refusal:
        logger.log([record(16), record(17, **{"x" * 3000: 1.0})])
    assert refusal.value.reasons.keys() == {17}


def test_a_user_without_rights_to_templates_and_removal_gets_the_documents_in(
    showing: Any, info: Callable[..., RunInfo], caplog: pytest.LogCaptureFixture
) -> None:
    logger = ElasticLogger(showing.url)
    for codes in ([403, 200, 403], [403, 200]):
        showing.codes[:] = codes
        logger.start(info())
    logger.log([record(0)])
    assert caplog.text.count("the index templates cannot be put") == 1
    assert caplog.text.count("cannot be removed") == 1


def test_a_connection_that_broke_asks_for_no_removal_unless_a_resume_has_cut_the_journal(
    showing: Any, info: Callable[..., RunInfo]
) -> None:
    def removals() -> int:
        logger.start(info())
        asked = [path for _, path, _ in showing.asked if "_delete_by_query" in path]
        showing.asked.clear()
        return len(asked)

    logger = ElasticLogger(showing.url)
    showing.codes[:] = [200] * 4 + [404]  # templates are asked for and put; there is no such run yet
    assert removals() == 0
    assert removals() == 0
    (info().folder / "journal.cut.jsonl").write_text("{}")
    assert removals() == 1
    assert removals() == 0
    logger.log([record(0)])  # is confirmed, and then it is asked to begin before it
    assert removals() == 1
    logger = ElasticLogger(showing.url)
    assert removals() == 1  # another courier may have sent more than it could note down


def test_a_server_that_takes_long_to_show_what_it_has_taken_is_no_failure(
    showing: Any, info: Callable[..., RunInfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(client: Any, **options: Any) -> None:
        raise elasticsearch.ConnectionTimeout("the refresh goes on")

    logger = ElasticLogger(showing.url)
    logger.start(info())
    logger.log([record(0)])
    monkeypatch.setattr(type(logger.client.client.indices), "refresh", late)
    logger.close("completed")


def test_a_server_that_is_not_there_or_lets_nobody_in_is_named_in_one_line(showing: Any) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ConnectionError, match=rf"^{address} does not answer: .*Connection refused$"):
        ElasticLogger(address).reach()
    showing.codes[:] = [401]
    with pytest.raises(PermissionError, match=rf"^{showing.url} does not let this user or key in$"):
        ElasticLogger(showing.url.replace("//", "//me:secret@")).reach()


def test_a_server_that_accepts_and_never_answers_is_given_up(tmp_path: Path) -> None:
    server = elastic_server(tmp_path).start()
    try:
        logger = ElasticLogger(f"http://127.0.0.1:{server.port}", timeout=0.3)
        server.freeze()
        with pytest.raises(elasticsearch.ConnectionTimeout):
            logger.client.client.info()
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "127.0.0.1:9200"}, "no address"),
        ({"index": "Metrics"}, "no index has such a name"),
        ({"index": "a*"}, "no index has such a name"),
        ({"ca_certs": "nowhere.pem"}, "no such file"),
        ({"api_key": "k", "username": "u"}, "two ways in"),
    ],
)
def test_arguments_that_cannot_be_are_said_when_it_is_made(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ElasticLogger(**arguments)


def test_a_url_without_a_port_has_the_usual_one() -> None:
    ports = [
        next(iter(ElasticLogger(url).client.client.transport.node_pool.all())).config.port
        for url in ("http://localhost", "https://localhost", "http://localhost:81/prefix")
    ]
    assert ports == [9200, 443, 81]


def test_to_a_server_that_takes_too_long_less_is_sent_at_once(
    monkeypatch: pytest.MonkeyPatch, showing: Any, info: Callable[..., RunInfo]
) -> None:
    logger = ElasticLogger(showing.url)
    logger.start(info())
    bulk, sizes = elasticsearch.Elasticsearch.bulk, []

    def slow(self: Any, *, operations: list[bytes], **named: Any) -> Any:
        sizes.append(len(operations) // 2)
        if sizes[-1] > 600:
            raise elasticsearch.ConnectionTimeout("too slow")
        return bulk(self, operations=operations, **named)

    monkeypatch.setattr(elasticsearch.Elasticsearch, "bulk", slow)
    records = [record(id_) for id_ in range(1000)]
    with pytest.raises(elasticsearch.ConnectionTimeout):
        logger.log(records)
    with pytest.raises(elasticsearch.ConnectionTimeout):
        logger.log(records)
    logger.log(records)
    assert sizes == [1000, 1000, 500, 500]
    assert logger.client._patience == 4


def certificate(folder: Path) -> tuple[Path, str]:
    """Of 127.0.0.1, signed by itself, with its key in the same file; and its SHA-256."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path, made.fingerprint(hashes.SHA256()).hex()


def test_a_server_proves_who_it_is_by_its_authority_or_its_fingerprint(showing: Any, tmp_path: Path) -> None:
    path, fingerprint = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    showing.socket = context.wrap_socket(showing.socket, server_side=True)
    url = showing.url.replace("http:", "https:")
    for arguments in ({"ca_certs": str(path)}, {"fingerprint": fingerprint}, {"verify": False}):
        ElasticLogger(url, **arguments).reach()
    for arguments in ({}, {"fingerprint": "00" * 32}):
        with pytest.raises(ConnectionError, match="does not answer"):
            ElasticLogger(url, **arguments).reach()
