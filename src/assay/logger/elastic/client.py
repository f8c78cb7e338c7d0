"""Requests to Elasticsearch: documents that are there once or refused for good, whatever the server does meanwhile."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import orjson

from assay.utils.secrets import conceal

__all__ = ["Client", "Document", "apart"]

_log = logging.getLogger(__name__)

# What a request holds at most; the usual limit of servers is 100 MB, of proxies 1 MB.
_DOCUMENTS, _BYTES = 2000, 900_000
# A server that does not answer in time is given more of it, up to so many times.
_PATIENCE = 8
# Refused for good is what a document's content is to blame for; all else may pass.
_FOR_GOOD = {
    "document_parsing_exception",
    "illegal_argument_exception",
    "mapper_parsing_exception",
    "strict_dynamic_mapping_exception",
}

Document = tuple[int, str, str, Mapping[str, Any]]
"""Of which record, sample or file, the index, the id, the content."""

_Encoded = tuple[int, str, str, bytes]


class Client:
    """The official client, and what of its errors is to be borne.

    Args:
        address: with scheme and port.
        timeout: seconds to wait for an answer.
        options: of `elasticsearch.Elasticsearch`: authentication and TLS.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """

    def __init__(self, address: str, timeout: float, **options: Any) -> None:
        try:
            import elasticsearch
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("ElasticLogger needs elasticsearch: pip install 'assay[elastic]'") from error
        # Advice of the server to whoever administers it is nothing that a run should repeat.
        warnings.filterwarnings("ignore", category=elasticsearch.ElasticsearchWarning)
        # Each request, and each attempt that failed, would be a line in the log of the run.
        logging.getLogger("elastic_transport").setLevel(logging.ERROR)
        self.address = address
        self.api = elasticsearch
        self.client = elasticsearch.Elasticsearch(
            address,
            request_timeout=timeout,
            # At once and without a pause, for a server that stumbles now and then; the courier waits between attempts.
            max_retries=2,
            retry_on_status=(429, 500, 502, 503, 504),
            connections_per_node=1,
            **options,
        )
        self._timeout, self._patience, self._most = timeout, 1, _DOCUMENTS
        self._said: set[str] = set()

    def reach(self) -> None:
        """Raises: ConnectionError or PermissionError in one line."""
        try:
            self.client.options(request_timeout=3.0, max_retries=0).info()
        except (self.api.AuthenticationException, self.api.AuthorizationException) as error:
            raise PermissionError(f"{self.address} does not let this user or key in") from error
        except self.api.TransportError as error:
            raise ConnectionError(f"{self.address} does not answer: {_cause(error)}") from error

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        """The client; where it waits in vain, it waits longer the next time: a server may be slow, and not away."""
        try:
            yield self.client.options(request_timeout=self._timeout * self._patience)
        except self.api.ConnectionTimeout:
            self._patience = min(_PATIENCE, 2 * self._patience)
            raise

    def exists(self, index: str, id_: str) -> bool:
        """Whether there is such a document; True where it is not told."""
        try:
            with self._asking() as client:
                return bool(client.exists(index=index, id=id_))
        except self.api.AuthorizationException:
            return True

    def put_templates(self, templates: Mapping[str, Mapping[str, Any]]) -> None:
        """Those of them that are missing or older there; all their names begin with "assay-"."""
        try:
            with self._asking() as client:
                try:
                    found = client.indices.get_index_template(name="assay-*")["index_templates"]
                except self.api.NotFoundError:
                    found = []
                versions = {one["name"]: one["index_template"].get("version") or 0 for one in found}
                for name, content in templates.items():
                    if versions.get(name, -1) < content["version"]:
                        client.indices.put_index_template(name=name, **content)
        except (self.api.AuthorizationException, self.api.BadRequestError) as error:
            self.say("the index templates cannot be put, and Elasticsearch guesses types", error)

    def remove(self, pattern: str, query: Mapping[str, Any]) -> None:
        """All documents that the query finds, in steps that a slow server does in time."""
        most = 5000
        try:
            with self._asking() as client:
                client.indices.refresh(index=pattern, ignore_unavailable=True)
                found = most
                while found == most:
                    answer = client.delete_by_query(
                        index=pattern, query=query, conflicts="proceed", refresh=True, max_docs=most
                    )
                    found = answer.get("total", 0)
        except self.api.NotFoundError:
            pass  # there is no index yet
        except self.api.AuthorizationException as error:
            self.say("documents that no longer count cannot be removed", error)

    def refresh(self, names: Sequence[str]) -> None:
        """Make what was sent visible now; without the right to, or where it takes long, it is visible later."""
        with suppress(self.api.AuthorizationException, self.api.ConnectionTimeout):
            self.client.indices.refresh(index=list(names), ignore_unavailable=True)

    def send(self, documents: Iterable[Document]) -> dict[int, str]:
        """Index them, and return why some are refused for good.

        Raises:
            Exception: some are not taken now, and all should be sent again.
        """
        refused: dict[int, str] = {}
        encoded = ((owner, index, id_, _json(content)) for owner, index, id_, content in documents)
        for part in _parts(encoded, self._most):
            refused |= self._send(part)
        return refused

    def say(self, message: str, reason: object) -> None:
        """Once."""
        if message not in self._said:
            self._said.add(message)
            _log.warning("%s: %s", message, conceal(str(reason)))

    def _send(self, documents: list[_Encoded]) -> dict[int, str]:
        lines: list[bytes] = []
        for _, index, id_, content in documents:
            lines += [_json({"index": {"_index": index, "_id": id_}}), content]
        try:
            with self._asking() as client:
                answer = client.bulk(operations=lines, filter_path=["errors", "items.*.status", "items.*.error"])
        except self.api.ConnectionTimeout:
            self._most = max(100, self._most // 2)
            raise
        except self.api.ApiError as error:
            if error.status_code != 413:
                raise
            if len(documents) == 1:
                return {documents[0][0]: "the server takes no document of this size"}
            half = len(documents) // 2
            return self._send(documents[:half]) | self._send(documents[half:])
        refused: dict[int, str] = {}
        if answer.get("errors"):
            for (owner, *_), item in zip(documents, answer["items"], strict=True):
                for result in item.values():
                    if fault := result.get("error"):
                        reason = conceal(f"{fault.get('type')}: {fault.get('reason')}")
                        if result.get("status") != 400 or fault.get("type") not in _FOR_GOOD:
                            raise RuntimeError(f"documents are not taken now, status {result.get('status')}: {reason}")
                        refused[owner] = reason
        return refused


def apart(url: str) -> tuple[str, str | None, str | None]:
    """The address with its port, and the user and password that stood in it.

    Raises:
        ValueError: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no http:// or no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 9200)
    address = urlunsplit((parts.scheme, f"{host}:{port}", parts.path, "", ""))
    return address, parts.username and unquote(parts.username), parts.password and unquote(parts.password)


def _cause(error: BaseException) -> str:
    """The last words of where it began: `Connection refused`."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).rpartition(": ")[2].rstrip(")'\"") or type(error).__name__


def _parts(documents: Iterable[_Encoded], most: int) -> Iterator[list[_Encoded]]:
    part: list[_Encoded] = []
    size = 0
    for document in documents:
        if part and (len(part) >= most or size + len(document[3]) > _BYTES):
            yield part
            part, size = [], 0
        part.append(document)
        size += len(document[3]) + 150
    if part:
        yield part


def _json(content: Mapping[str, Any]) -> bytes:
    """Numbers that JSON has not become null."""
    return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
