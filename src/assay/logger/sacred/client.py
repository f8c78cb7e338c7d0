"""MongoDB's client: how long it waits, what it repeats, and whether a server can be used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from bson import ObjectId
from pymongo import IndexModel, MongoClient, ReplaceOne, UpdateOne
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

__all__ = [
    "DuplicateKeyError",
    "IndexModel",
    "ObjectId",
    "Patient",
    "ReplaceOne",
    "UpdateOne",
    "connect",
    "reach",
]

T = TypeVar("T")

_ATTEMPTS = 3


def connect(url: str, patience: float = 4.0) -> MongoClient[dict[str, Any]]:
    """A client that waits for nothing longer than 10 s and repeats nothing by itself.

    Args:
        url: of the server.
        patience: seconds until a server must have been found; one far away may take two to greet.
    """
    return MongoClient(
        url,
        appname="assay",
        connect=False,
        serverSelectionTimeoutMS=round(1000 * patience),
        connectTimeoutMS=5000,
        socketTimeoutMS=10000,
        retryWrites=False,
        retryReads=False,
        w="majority",
        journal=True,
    )


def reach(url: str, database: str) -> None:
    """Read from the database, which needs the same server and password as writing.

    Raises:
        ConnectionError: it does not answer, or refuses.
    """
    try:
        with connect(url, patience=2.0) as client:
            client[database]["runs"].find_one({}, {"_id": 1})
    except PyMongoError as error:
        # pymongo goes on with the timeouts and the whole topology.
        reason = str(error).partition(", Timeout: ")[0].partition(" (configured timeouts")[0]
        raise ConnectionError(f"MongoDB cannot be used: {reason}") from error


class Patient:
    """A collection whose commands are repeated at once where a server stumbles or a connection is lost.

    Without it, ten commands in a row would never all succeed where every other one fails. Each of them may have
    been done although it failed: none here minds. A server that does not answer in time is left to the courier.
    """

    def __init__(self, collection: Any) -> None:
        self.collection, self.name = collection, collection.name

    def find(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
        """All at once, so that reading can be repeated as a whole."""
        return self.again(lambda: list(self.collection.find(*args, **options)))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self.again, getattr(self.collection, name))

    def again(self, command: Callable[..., T], *args: Any, **options: Any) -> T:
        for _ in range(_ATTEMPTS - 1):
            try:
                return command(*args, **options)
            except (NetworkTimeout, ServerSelectionTimeoutError, DuplicateKeyError):
                raise
            except (AutoReconnect, OperationFailure):
                continue
        return command(*args, **options)
