"""A proxy in front of a real server, HTTP or MongoDB, that misbehaves as it is told, from one moment to the next."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

__all__ = ["CUT", "LOSE", "Proxy", "answer", "every_other", "hang", "http_answer", "mongo_answer", "slow"]

CUT = "cut"
"""The connection ends before the server sees the request."""
LOSE = "lose"
"""The server does what it is asked for, and the connection ends instead of the answer."""
_HANG = "hang"

Action = str | bytes | float | None
"""CUT, LOSE, an answer in the place of the server's, seconds before the server's, or None: nothing happens."""
Rule = Callable[[int, bytes], Action]
"""Asked for every request, with its number since the rule holds, and the request."""

_MORE_TO_COME = 2


def slow(seconds: float) -> Rule:
    return lambda number, request: seconds


def hang(number: int, request: bytes) -> Action:
    """No answer, as long as the rule holds."""
    return _HANG


def every_other(action: Action | Callable[[bytes], Action]) -> Rule:
    return lambda number, request: (action(request) if callable(action) else action) if number % 2 else None


def answer(make: Callable[[bytes], bytes | None]) -> Rule:
    """`make` gives the answer to a request, or None for the server's own."""
    return lambda number, request: make(request)


def http_answer(status: int, content: Any = None) -> bytes:
    body = json.dumps(content if content is not None else {"error": "the proxy says so"}).encode()
    head = f"HTTP/1.1 {status} Fault\r\nContent-Type: application/json\r\nX-Elastic-Product: Elasticsearch\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def mongo_answer(request: bytes, document: Mapping[str, Any]) -> bytes:
    import bson

    body = struct.pack("<IB", 0, 0) + bson.encode(document)
    return struct.pack("<iiii", 16 + len(body), 0, struct.unpack_from("<i", request, 4)[0], 2013) + body


class Proxy:
    """Listens on a port of loopback and passes everything to another one.

    Args:
        port: of the server.
        mongo: it speaks MongoDB's protocol, else HTTP. The greetings of MongoDB's connections are no requests for
            `every_other`: else a client would never get past them.
    """

    def __init__(self, port: int, *, mongo: bool = False) -> None:
        self.target = port
        self._read = _mongo_message if mongo else _http_message
        self._mongo = mongo
        self._lock = threading.Lock()
        self._rule: Rule | None = None
        self._number = self._connections = 0
        self.cut_connections = False
        """Every other connection ends before anything is read from it."""
        self._open: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        self.requests = 0

    def behave(self, rule: Rule | None = None) -> None:
        """From now on; without a rule it passes everything on. What hangs is let go."""
        with self._lock:
            before, self._rule, self._number = self._rule, rule, 0
        if before is hang:
            self._drop()

    def refuse(self) -> None:
        """No connection any more: nobody listens."""
        _shut(self._listener)
        self._drop()

    def accept(self) -> None:
        """As before `refuse`."""
        self._listener = self._listen(self.port)

    def close(self) -> None:
        self.refuse()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _drop(self) -> None:
        with self._lock:
            gone, self._open = self._open, set()
        for connection in gone:
            _shut(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        with self._lock:
            self._open.add(client)
            self._connections += 1
            cut = self.cut_connections and self._connections % 2
        try:
            if cut:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = client.makefile("rb")
            answers: BinaryIO | None = None
            while (request := self._read(stream)) is not None:
                action = self._ask(request)
                if isinstance(action, float):
                    time.sleep(action)
                elif isinstance(action, bytes):
                    client.sendall(action)
                    continue
                elif action == _HANG:
                    while self._rule is hang:
                        time.sleep(0.05)
                    return
                elif action == CUT:
                    return
                if server is None or answers is None:
                    server = socket.create_connection(("127.0.0.1", self.target), timeout=60)
                    answers = server.makefile("rb")
                server.sendall(request)
                if self._mongo and _flags(request) & _MORE_TO_COME:
                    continue
                while True:
                    reply = self._read(answers, request)
                    if reply is None or action == LOSE:
                        return
                    client.sendall(reply)
                    if not (self._mongo and _flags(reply) & _MORE_TO_COME):
                        break
        except (OSError, ValueError):
            pass  # either side is gone: so is the other
        finally:
            with self._lock:
                self._open.discard(client)
            for connection in (client, server):
                if connection is not None:
                    _shut(connection)

    def _ask(self, request: bytes) -> Action:
        with self._lock:
            self.requests += 1
            rule, number = self._rule, self._number
            if rule is None:
                return None
            if self._mongo and _greets(request):
                number = 0
            else:
                self._number += 1
        return rule(number, request)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def _mongo_message(stream: BinaryIO, request: bytes = b"") -> bytes | None:
    head = stream.read(16)
    if len(head) < 16:
        return None
    length = struct.unpack_from("<i", head)[0] - 16
    body = stream.read(length)
    return head + body if len(body) == length else None


def _flags(message: bytes) -> int:
    opcode = struct.unpack_from("<i", message, 12)[0]
    return int(struct.unpack_from("<I", message, 16)[0]) if opcode == 2013 else 0


def _greets(request: bytes) -> bool:
    start = request[:80]
    return any(word in start for word in (b"hello\0", b"ismaster\0", b"isMaster\0"))


def _http_message(stream: BinaryIO, request: bytes = b"") -> bytes | None:
    """A request or, given the request, its response; to the end of the stream where no length is told."""
    lines = []
    while line := stream.readline():
        lines.append(line)
        if line in (b"\r\n", b"\n"):
            break
    if not line:
        return None
    head = b"".join(lines)
    fields = {name.strip().lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines[1:])}
    status = lines[0].split()[1] if request else b""
    if request.startswith(b"HEAD ") or status[:1] == b"1" or status in (b"204", b"304"):
        return head
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        return head + _chunks(stream)
    if (length := fields.get(b"content-length")) is not None:
        body = stream.read(int(length))
        return head + body if len(body) == int(length) else None
    return head + stream.read() if request else head


def _chunks(stream: BinaryIO) -> bytes:
    parts = []
    while True:
        line = stream.readline()
        parts += [line, stream.read(int(line.split(b";")[0], 16) + 2)]
        if int(line.split(b";")[0], 16) == 0:
            return b"".join(parts)
