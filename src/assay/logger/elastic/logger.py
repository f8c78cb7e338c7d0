"""Elasticsearch: the machine, the run and the measurements as documents, for Kibana (`elastic-kibana.yml`)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt

from assay.errors import ConfigError, Problem
from assay.logger.base import BaseLogger, NotTaken, RunInfo
from assay.logger.elastic.client import Client, apart
from assay.logger.elastic.documents import Infrastructure, day, instant
from assay.logger.elastic.ecs import Ecs
from assay.logger.elastic.run import RunDocuments
from assay.logger.elastic.template import METRICS, RUNS, TRAINING, template
from assay.store.journal import CUT, Record
from assay.store.samples import Sample

__all__ = ["ElasticLogger"]


class ElasticLogger(BaseLogger):
    """A document for every record of the journal and for every sample of the machine, in daily indices.

    The indices are `experiment-metrics-training-YYYY.MM.DD` (records; days of UTC), `experiment-metrics-YYYY.MM.DD`
    (samples; both with `-ecs` after `metrics` for the layout "ecs"), `experiment-runs` (a run, its configuration and
    its result) and `experiment-code` (its files). Ids are made of the run's and the record's: what is sent twice is
    there once. All fields have types, by index templates that are put where they are missing.

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
        try:
            address, user, secret = apart(url)
        except ValueError as error:
            raise _wrong("url", "this is no address", str(error), "http://HOST:PORT or https://HOST:PORT") from error
        user, secret = username or user, password or secret
        if api_key and user:
            raise _wrong("api_key", "a user and a key are two ways in", "api_key and a user name", "one of them")
        tls: dict[str, Any] = {}
        if address.startswith("https:"):
            tls = {"verify_certs": verify, "ssl_show_warn": False}
            tls |= {"ca_certs": ca_certs} if ca_certs else {}
            tls |= {"ssl_assert_fingerprint": fingerprint} if fingerprint else {}
        self._cut: int | None = None
        self._record = self._sample = -1
        self.client = Client(
            address,
            timeout,
            api_key=api_key,
            basic_auth=(user, secret or "") if user else None,
            **tls,
        )

    def reach(self) -> None:
        self.client.reach()

    def start(self, run: RunInfo) -> None:
        self.client.put_templates(
            {
                f"assay-{self.index}": template([f"{self.index}-*"], METRICS[self.layout]),
                f"assay-{self.index}-training": template([f"{self.index}-training-*"], TRAINING[self.layout]),
                "assay-experiment-runs": template(["experiment-runs", "experiment-code"], RUNS),
            }
        )
        self.documents = RunDocuments(run, self.experiment or run.project, files=self.with_code)
        sent = instant(time.time())
        self._layout = (Ecs if self.layout == "ecs" else Infrastructure)({**self.documents.about, "sent": sent})
        self._take_back(run, sent)
        self._send_files(self.documents.all())

    def log(self, records: Sequence[Record]) -> None:
        if self.with_training:
            self._send_numbered(
                f"{self.index}-training",
                (
                    (record.id, record.time, (str(record.id),), self._layout.record(record))
                    for record in records
                    if record.values
                ),
            )
        self._record = max(self._record, records[-1].id)

    def system(self, samples: Sequence[Sample]) -> None:
        if self.with_system:
            self._send_numbered(
                self.index,
                (
                    (sample.id, sample.time, (f"s{sample.id}", name), content)
                    for sample in samples
                    for name, content in self._layout.sample(sample)
                ),
            )
        self._sample = max(self._sample, samples[-1].id)

    def file(self, path: Path, name: str) -> None:
        self._send_files(self.documents.file(path, name))

    def beat(self) -> None:
        self._send_files(self.documents.beat())

    def close(self, status: str) -> None:
        self._send_files(self.documents.end(status))
        self.client.refresh((f"{self.index}-*", "experiment-runs", "experiment-code"))

    def _take_back(self, run: RunInfo, sent: str) -> None:
        """Remove what came after the last delivered record, where it may be that it does not come again.

        Only what was sent before: a server that hung may come to this when what takes its place is there already.
        """
        archive = run.folder / CUT
        cut = archive.stat().st_size if archive.exists() else 0
        if self._cut is None:  # the document of a run is there before any other
            needed = self.client.exists("experiment-runs", run.id)
        else:
            needed = cut != self._cut or run.delivered < self._record or run.sampled < self._sample
        if needed:
            last = {"record_id": run.delivered, "sample_id": run.sampled}
            later = [{"range": {key: {"gt": id_}}} for key, id_ in last.items()]
            those = [{"term": {"run_id": run.id}}, {"range": {"sent": {"lt": sent}}}]
            query = {"bool": {"filter": those, "should": later, "minimum_should_match": 1}}
            self.client.remove(f"{self.index}-*", query)
        self._cut, self._record, self._sample = cut, run.delivered, run.sampled

    def _send_numbered(
        self, index: str, documents: Iterable[tuple[int, float, tuple[str, ...], Mapping[str, Any]]]
    ) -> None:
        """Raises: NotTaken with what is refused, once the rest is safe."""
        refused = self.client.send(
            (owner, f"{index}-{day(moment)}", self.documents.id(*parts), content)
            for owner, moment, parts, content in documents
        )
        if refused:
            raise NotTaken(refused)

    def _send_files(self, documents: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
        named = list(documents)
        refused = self.client.send((number, *document) for number, document in enumerate(named))
        for number, reason in refused.items():
            self.client.say(f"{named[number][1]} is refused", reason)


def _wrong(name: str, message: str, found: str, expected: str) -> ConfigError:
    return ConfigError.of(Problem(f"{name}: {message}", key=f"args.{name}", found=found, expected=expected))
