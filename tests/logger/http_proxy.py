"""A proxy before a real HTTP server that answers slowly, with errors, or not at all."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Proxy"]


class Proxy:
    """
    Args:
        port: of the server on loopback.
        fails: by the number of the request: "500" (the server never sees it), "lost" (the server does what it is
            asked to, and the connection ends before the answer) or "" (nothing happens).
        delay: seconds before every answer.
    """

    def __init__(self, port: int, fails: Callable[[int], str] = lambda number: "", delay: float = 0.0) -> None:
        self.requests = 0
        lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                with lock:
                    number = proxy.requests
                    proxy.requests += 1
                body = self._body()
                time.sleep(delay)
                fault = fails(number)
                if fault == "500":
                    self._answer(500, {}, b"{}")
                    return
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                headers = {key: value for key, value in self.headers.items() if key.lower() != "transfer-encoding"}
                connection.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
                response = connection.getresponse()
                content = response.read()
                connection.close()
                if fault == "lost":
                    self.close_connection = True
                    return
                self._answer(response.status, dict(response.getheaders()), content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def _answer(self, status: int, headers: dict[str, Any], content: bytes) -> None:
                self.send_response(status)
                for key in ("Content-Type", "content-type"):
                    if key in headers:
                        self.send_header("Content-Type", headers[key])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()
