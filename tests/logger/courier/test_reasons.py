from __future__ import annotations

import pytest

from assay.logger.courier.reasons import reason

_LIBRARY = {"__module__": "library.errors"}
ConnectionError_ = type("ConnectionError", (Exception,), _LIBRARY)
PyMongoError = type("ServerSelectionTimeoutError", (Exception,), _LIBRARY)

REFUSED = (
    "127.0.0.1:27017: [Errno 111] Connection refused (configured timeouts: socketTimeoutMS: 10000.0ms, "
    "connectTimeoutMS: 5000.0ms), Timeout: 6.0s, Topology Description: <TopologyDescription id: 6a, servers: [<…>]>"
)
LOST = (
    "Connection error caused by: ConnectionError(Connection error caused by: ProtocolError(('Connection aborted.', "
    "RemoteDisconnected('Remote end closed connection without response'))))"
)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PyMongoError(REFUSED), "nothing listens there (127.0.0.1:27017, ServerSelectionTimeoutError)"),
        (ConnectionError_(LOST), "the connection was lost (ConnectionError)"),
        (ConnectionError_("Read timed out. (read timeout=10)"), "it does not answer in time (ConnectionError)"),
        (ConnectionError_("database or disk is full"), "its disk is full (ConnectionError)"),
        (ConnectionError_("API request failed with code 500 != 200"), "it has a fault of its own (ConnectionError)"),
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens there (ConnectionRefusedError)"),
        (RuntimeError("status 429: disk usage exceeded flood-stage watermark"), "its disk is full (RuntimeError)"),
        (RuntimeError("the Timeout of 500\n  people"), "RuntimeError: the Timeout of 500 people"),
        (ConnectionError_("field [x] of type [long]"), "ConnectionError: field [x] of type [long]"),
    ],
)
def test_what_a_library_says_in_a_paragraph_is_said_in_a_few_words(error: Exception, told: str) -> None:
    assert reason(error) == told


def test_what_is_not_known_is_told_as_it_is_but_no_longer_than_a_line_or_two() -> None:
    assert len(reason(ConnectionError_("word " * 1000))) <= 300
