"""TensorBoard: the journal's scalars and media as an event file (`tensorboard --logdir saved`)."""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.histogram_pb2 import HistogramProto
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)

from assay.logger.base import BaseLogger, RunInfo
from assay.logger.event_file import Position, append, create
from assay.logger.flat import flat
from assay.logger.heat_map import heat_map
from assay.store.journal import JOURNAL, Record, read
from assay.utils.atomic import read_json

__all__ = ["TensorBoardLogger"]

_log = logging.getLogger(__name__)

_TEXTS = ("config.json", "transforms.json")


class TensorBoardLogger(BaseLogger):
    """Every scalar of the journal exactly once, as "phase/name" at the record's step and time.

    TensorBoard keeps scalars as float32. The event file is a copy: whenever it does not end where the courier
    says (a resume cut the journal, someone removed it), it is written anew from the journal.
    """

    def start(self, run: RunInfo) -> None:
        self.run = run
        self.folder = run.folder / "tensorboard"
        self.folder.mkdir(exist_ok=True)
        self.position = Position.load(self.folder / "position.json")
        path = self.folder / self.position.file
        whole = path.is_file() and path.stat().st_size >= self.position.size
        if whole and self.position.id == run.delivered:
            self._append([])
            self._remove_others()
        else:
            self._rebuild(run.delivered)

    def log(self, records: Sequence[Record]) -> None:
        before = records[0].id - 1
        if self.position.status or self.position.id != before:
            self._rebuild(before)
        self.position.id = records[-1].id
        self._append(event for record in records for event in self._of_record(record))

    def file(self, path: Path, name: str) -> None:
        if name not in _TEXTS:
            return
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        known = self.position.files.get(name)
        if known == digest:
            return
        self.position.files[name] = digest
        if known:
            self._rebuild(self.position.id)
        else:
            self._append(self._of_file(name))

    def close(self, status: str) -> None:
        if status in ("running", self.position.status):
            return
        if self.position.status:
            self._rebuild(self.position.id)
        end = SessionEndInfo(status=STATUS_SUCCESS if status == "completed" else STATUS_FAILURE)
        value = _hparams("_hparams_/session_end_info", HParamsPluginData(session_end_info=end))
        self.position.status = status
        self._append([Event(wall_time=time.time(), summary=Summary(value=[value]))])

    def _append(self, events: Iterable[Event]) -> None:
        self.position.size = append(self.folder / self.position.file, self.position.size, events)
        self.position.save(self.folder / "position.json")

    def _rebuild(self, last: int) -> None:
        """A new file with all there is up to record `last`; only when it is there is the old one removed."""
        path = create(self.folder, self._until(last), self._began())
        self.position.file, self.position.size, self.position.status = path.name, path.stat().st_size, ""
        self.position.save(self.folder / "position.json")
        self._remove_others()

    def _until(self, last: int) -> Iterator[Event]:
        for name in self.position.files:
            yield from self._of_file(name)
        self.position.id = -1
        for record in takewhile(lambda record: record.id <= last, read(self.run.folder / JOURNAL)):
            yield from self._of_record(record)
            self.position.id = record.id

    def _remove_others(self) -> None:
        for path in self.folder.glob("events.out.tfevents.*"):
            if path.name != self.position.file:
                path.unlink()

    def _began(self) -> float:
        return (self.run.folder / "config.json").stat().st_mtime

    def _of_record(self, record: Record) -> Iterator[Event]:
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in record.scalars()]
        for name, medium in record.media.items():
            tag = f"{record.phase}/{name}"
            try:
                values += _medium(tag, medium["kind"], self.run.folder / medium["path"])
            except (OSError, ValueError, LookupError, TypeError) as error:
                # A picture that was deleted, or is none, must not hold up the numbers.
                _log.warning("record %d: no picture for %s: %s", record.id, tag, error)
        yield Event(wall_time=record.time, step=record.step, summary=Summary(value=values))

    def _of_file(self, name: str) -> Iterator[Event]:
        content = read_json(self.run.folder / name)
        values = [_text(name.removesuffix(".json"), content)]
        if name == "config.json":
            info = SessionStartInfo(group_name=self.run.id, start_time_secs=self._began())
            for key, value in flat(content):
                if isinstance(value, bool):
                    info.hparams[key].bool_value = value
                elif isinstance(value, int | float):
                    info.hparams[key].number_value = value
                else:
                    info.hparams[key].string_value = str(value)
            data = HParamsPluginData(session_start_info=info)
            values.append(_hparams("_hparams_/session_start_info", data))
        yield Event(wall_time=self._began(), summary=Summary(value=values))


def _hparams(tag: str, data: HParamsPluginData) -> Summary.Value:
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)]))
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=nothing)


def _text(tag: str, content: Any) -> Summary.Value:
    block = f"```json\n{json.dumps(content, indent=2)}\n```"
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[block.encode()])
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def _medium(tag: str, kind: str, path: Path) -> list[Summary.Value]:
    """Raises: ValueError for a kind that TensorBoard has no place for."""
    if kind == "histograms":
        return [
            Summary.Value(tag=f"{tag}/{name}", histo=_histogram(content["edges"], content["counts"]))
            for name, content in read_json(path).items()
        ]
    if kind == "matrix":
        content = read_json(path)
        png = heat_map(content["values"], content.get("labels") or [])
    elif kind == "image":
        png = path.read_bytes()
    else:
        raise ValueError(f"medium {tag!r} is a {kind!r}: expected image, histograms or matrix")
    if not png.startswith(b"\x89PNG\r\n"):
        raise ValueError(f"{path.name} is not a PNG")
    # After the signature comes the IHDR chunk: width and height are at bytes 16 and 20.
    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
    return [Summary.Value(tag=tag, image=image)]


def _histogram(edges: Sequence[float], counts: Sequence[float]) -> HistogramProto:
    """Sum and sum of squares are those of the bins' middles."""
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    return HistogramProto(
        min=edges[0],
        max=edges[-1],
        num=sum(counts),
        sum=sum(count * middle for count, middle in zip(counts, middles, strict=True)),
        sum_squares=sum(count * middle**2 for count, middle in zip(counts, middles, strict=True)),
        bucket_limit=edges[1:],
        bucket=counts,
    )
