"""A logger whose server may refuse, or accept and never answer; without torch, for the courier imports it."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from assay.logger.base import BaseLogger, RunInfo
from assay.store.journal import Record


class HungLogger(BaseLogger):
    """Waits for a greeting at 127.0.0.1.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def start(self, run: RunInfo) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.settimeout(10)
            assert connection.recv(1)

    def log(self, records: Sequence[Record]) -> None:
        raise AssertionError("its start never returns")
