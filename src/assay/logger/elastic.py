"""Elasticsearch: the machine, the run and the measurements as documents, for Kibana (`elastic-kibana.yml`)."""

from __future__ import annotations

import logging
import re
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit, urlunsplit

import orjson
from annotated_types import Gt

from assay.errors import ConfigError, Problem
from assay.logger.base import BaseLogger, NotTaken, RunInfo
from assay.logger.elastic_documents import Infrastructure, day, instant
from assay.logger.elastic_ecs import Ecs
from assay.logger.elastic_run import RunDocuments
from assay.logger.elastic_template import METRICS, RUNS, VERSION, template
from assay.store.journal import Record
from assay.store.samples import Sample
from assay.utils.secrets import conceal

__all__ = ["ElasticLogger"]

_log = logging.getLogger(__name__)

# What a request holds at most; the usual limit of servers is 100 MB, of proxies 1 MB.
_DOCUMENTS, _BYTES = 2000, 900_000
# Refused for good is what a document's content is to blame for; all else may pass.
_FOR_GOOD = {
    "document_parsing_exception",
    "illegal_argument_exception",
    "mapper_parsing_exception",
    "strict_dynamic_mapping_exception",
}

Document = tuple[int, str, str, bytes]
"""Of which record or sample (-1: of none), the index, the id, the JSON."""


class ElasticLogger(BaseLogger):
    """One document for every scalar of the journal and for every sample of the machine, in daily indices.

    The indices are `experiment-metrics-YYYY.MM.DD` (days of UTC; `experiment-metrics-ecs-…` for the layout "ecs"),
    `experiment-runs` (a run, its configuration and its result) and `experiment-code` (its files). Ids are made of the
    run's and the record's: what is sent twice is there once. All fields have types, by index templates that are put
    where they are missing.

    Args:
        url: of the server, such as `https://elastic.example.org:9200`; without a port 9200, with https 443.
        index: beginning of the names of the daily indices.
        layout: "elasticinfrastructure" is that of py-elasticinfrastructure, "ecs" has the names of the Elastic Common
            Schema and Metricbeat.
        experiment: what documents say of their experiment; without it the project of the run.
        training: whether the measurements of the journal are sent.
        system: whether the samples of the machine are sent.
        code: whether sources and other files of the run are sent, as text, a MiB of each at most.
        username: for basic authentication.
        password: as `${env:NAME}`.
        api_key: in the place of username and password; as `${env:NAME}`.
        ca_certs: file with the certificates of the authorities that sign the server's.
        fingerprint: SHA-256 of the server's certificate, in the place of an authority.
        verify: whether the server must prove who it is.
        timeout: seconds to wait for an answer.
    """

    resend_seconds: ClassVar[float] = 30.0

    def __init__(
        self,
        url: str = "http://127.0.0.1:9200",
        index: str = "experiment-metrics",
        layout: Literal["elasticinfrastructure", "ecs"] = "elasticinfrastructure",
        experiment: str | None = None,
        training: bool = True,
        system: bool = True,
        code: bool = True,
        username: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        ca_certs: str | None = None,
        fingerprint: str | None = None,
        verify: bool = True,
        timeout: Annotated[float, Gt(0)] = 10.0,
    ) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,200}", index):
            raise _wrong(
                "index", "no index has such a name", repr(index), "lower-case letters, digits, '-', '_' and '.'"
            )
        if ca_certs is not None and not Path(ca_certs).is_file():
            raise _wrong("ca_certs", "there is no such file", repr(ca_certs), "a file with certificates")
        self.index = f"{index}-ecs" if layout == "ecs" else index
        self.layout, self.experiment = layout, experiment
        self.with_training, self.with_system, self.with_code = training, system, code
        self.address, user, secret = _apart(url)
        user, secret = username or user, password or secret
        if api_key and user:
            raise _wrong("api_key", "a user and a key are two ways in", "api_key and a user name", "one of them")
        tls: dict[str, Any] = {}
        if self.address.startswith("https:"):
            tls = {"verify_certs": verify, "ssl_show_warn": False}
            tls |= {"ca_certs": ca_certs} if ca_certs else {}
            tls |= {"ssl_assert_fingerprint": fingerprint} if fingerprint else {}
        try:
            import elasticsearch
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("ElasticLogger needs elasticsearch: pip install 'assay[elastic]'") from error
        # Advice of the server to whoever administers it is nothing that a run should repeat.
        warnings.filterwarnings("ignore", category=elasticsearch.ElasticsearchWarning)
        # Each request, and each attempt that failed, would be a line in the log of the run.
        logging.getLogger("elastic_transport").setLevel(logging.ERROR)
        self._api = elasticsearch
        self.client = elasticsearch.Elasticsearch(
            self.address,
            api_key=api_key,
            basic_auth=(user, secret or "") if user else None,
            request_timeout=timeout,
            # At once and without a pause, for a server that stumbles now and then; the courier waits between attempts.
            max_retries=2,
            retry_on_status=(429, 500, 502, 503, 504),
            connections_per_node=1,
            **tls,
        )
        self._most = _DOCUMENTS
        self._said: set[str] = set()

    def reach(self) -> None:
        try:
            self.client.options(request_timeout=3.0, max_retries=0).info()
        except (self._api.AuthenticationException, self._api.AuthorizationException) as error:
            raise PermissionError(f"{self.address} does not let this user or key in") from error
        except self._api.TransportError as error:
            raise ConnectionError(f"{self.address} does not answer: {_cause(error)}") from error

    def start(self, run: RunInfo) -> None:
        self._put_templates()
        self.documents = RunDocuments(run, self.experiment or run.project, files=self.with_code)
        sent = instant(time.time())
        self._layout = (Ecs if self.layout == "ecs" else Infrastructure)({**self.documents.about, "sent": sent})
        self._take_back(run, sent)
        self._send_files(self.documents.all())

    def log(self, records: Sequence[Record]) -> None:
        if self.with_training:
            self._send_numbered(
                (record.id, record.time, str(record.id), name, content)
                for record in records
                for name, content in self._layout.record(record)
            )

    def system(self, samples: Sequence[Sample]) -> None:
        if self.with_system:
            self._send_numbered(
                (sample.id, sample.time, f"s{sample.id}", name, content)
                for sample in samples
                for name, content in self._layout.sample(sample)
            )

    def file(self, path: Path, name: str) -> None:
        self._send_files(self.documents.file(path, name))

    def beat(self) -> None:
        self._send_files(self.documents.beat())

    def close(self, status: str) -> None:
        self._send_files(self.documents.end(status))
        with suppress(self._api.AuthorizationException):  # without it they are seen a second later
            names = [f"{self.index}-*", "experiment-runs", "experiment-code"]
            self.client.indices.refresh(index=names, ignore_unavailable=True)

    def _put_templates(self) -> None:
        wanted = {
            f"assay-{self.index}": template([f"{self.index}-*"], METRICS[self.layout]),
            "assay-experiment-runs": template(["experiment-runs", "experiment-code"], RUNS),
        }
        try:
            try:
                found = self.client.indices.get_index_template(name="assay-*")["index_templates"]
            except self._api.NotFoundError:
                found = []
            versions = {one["name"]: one["index_template"].get("version", 0) for one in found}
            for name, content in wanted.items():
                if versions.get(name, -1) < VERSION:
                    self.client.indices.put_index_template(name=name, **content)
        except (self._api.AuthorizationException, self._api.BadRequestError) as error:
            self._once("the index templates cannot be put, and Elasticsearch guesses types", error)

    def _take_back(self, run: RunInfo, before: str) -> None:
        """What came after the last delivered record no longer counts, or comes again.

        In steps that a slow server does in time, and only of what was sent before: a server that hung may come to
        this when what takes their place is there already.
        """
        last = {"record_id": run.delivered, "sample_id": run.sampled}
        later = [{"range": {key: {"gt": id_}}} for key, id_ in last.items()]
        those = [{"term": {"run_id": run.id}}, {"range": {"sent": {"lt": before}}}]
        query = {"bool": {"filter": those, "should": later, "minimum_should_match": 1}}
        pattern, most = f"{self.index}-*", 5000
        try:
            self.client.indices.refresh(index=pattern, ignore_unavailable=True)
            deleted = most
            while deleted == most:
                answer = self.client.delete_by_query(
                    index=pattern, query=query, conflicts="proceed", refresh=True, max_docs=most
                )
                deleted = answer["deleted"]
        except self._api.NotFoundError:
            pass  # there is no index yet
        except self._api.AuthorizationException as error:
            self._once("documents that no longer count cannot be removed", error)

    def _send_numbered(self, documents: Iterable[tuple[int, float, str, str, Mapping[str, Any]]]) -> None:
        """Raises: NotTaken with what is refused, once the rest is safe."""
        refused = self._send_all(
            (owner, f"{self.index}-{day(moment)}", self.documents.id(number, name), content)
            for owner, moment, number, name, content in documents
        )
        if refused:
            raise NotTaken(refused)

    def _send_files(self, documents: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
        named = list(documents)
        refused = self._send_all((number, *document) for number, document in enumerate(named))
        for number, reason in refused.items():
            self._once(f"{named[number][1]} is refused", reason)

    def _send_all(self, documents: Iterable[tuple[int, str, str, Mapping[str, Any]]]) -> dict[int, str]:
        refused: dict[int, str] = {}
        encoded = ((owner, index, id_, _json(content)) for owner, index, id_, content in documents)
        for part in _parts(encoded, self._most):
            refused |= self._send(part)
        return refused

    def _send(self, documents: list[Document]) -> dict[int, str]:
        """Index them, and return what is refused for good."""
        if not documents:
            return {}
        lines: list[bytes] = []
        for _, index, id_, content in documents:
            lines += [_json({"index": {"_index": index, "_id": id_}}), content]
        try:
            answer = self.client.bulk(operations=lines, filter_path=["errors", "items.*.status", "items.*.error"])  # type: ignore[arg-type]  # bytes are passed on
        except self._api.ConnectionTimeout:
            self._most = max(50, self._most // 2)  # it may be slow, and not away
            raise
        except self._api.ApiError as error:
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

    def _once(self, message: str, reason: object) -> None:
        if message not in self._said:
            self._said.add(message)
            _log.warning("%s: %s", message, conceal(str(reason)))


def _wrong(name: str, message: str, found: str, expected: str) -> ConfigError:
    return ConfigError.of(Problem(f"{name}: {message}", key=f"args.{name}", found=found, expected=expected))


def _cause(error: BaseException) -> str:
    """The last words of where it began: `Connection refused`."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).rpartition(": ")[2].rstrip(")'\"") or type(error).__name__


def _apart(url: str) -> tuple[str, str | None, str | None]:
    """The address with its port, and the user and password that stood in it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _wrong("url", "this is no address", "no http:// or no host", "http://HOST:PORT or https://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 9200)
    address = urlunsplit((parts.scheme, f"{host}:{port}", parts.path, "", ""))
    return address, parts.username and unquote(parts.username), parts.password and unquote(parts.password)


def _parts(documents: Iterable[Document], most: int) -> Iterator[list[Document]]:
    part: list[Document] = []
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
