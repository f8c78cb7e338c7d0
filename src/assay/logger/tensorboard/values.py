"""What TensorBoard's plugins show, as values of an event: texts, hyperparameters, pictures, histograms, charts."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.histogram_pb2 import HistogramProto
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout, MultilineChartContent
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from assay.logger.flat import flat
from assay.logger.heat_map import heat_map
from assay.utils.atomic import read_json

__all__ = ["KINDS", "charts", "hyperparameters", "medium", "session_end", "text", "text_of_file"]

KINDS = ("image", "histograms", "matrix", "text", "file")
LONGEST = 200_000
"""Bytes of a text that are shown: the page holds all texts at once."""


def text(tag: str, content: str) -> Summary.Value:
    """Markdown, as the plugin Text shows it."""
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[content.encode()])
    return Summary.Value(tag=tag, metadata=_metadata("text"), tensor=tensor)


def text_of_file(tag: str, path: Path) -> Summary.Value:
    """A file as it is, in the colours of its language; of a long one the end is left out, of a log the beginning.

    Raises:
        UnicodeDecodeError: it is no text.
    """
    content = path.read_bytes()
    shown = content[-LONGEST:] if path.suffix == ".log" else content[:LONGEST]
    left_out = len(content) - len(shown)
    if left_out:
        content.decode()  # a text all the same: only a character at the edge may be cut
    note = f"{left_out} bytes are left out\n\n" if left_out else ""
    body = shown.decode(errors="ignore" if left_out else "strict")
    longest = max((len(ticks) for ticks in re.findall("`{3,}", body)), default=2)
    fence = "`" * (longest + 1)
    end = "" if body.endswith("\n") else "\n"
    return text(tag, f"{note}{fence}{path.suffix.removeprefix('.')}\n{body}{end}{fence}")


def hyperparameters(config: Mapping[str, Any], group: str, began: float) -> Summary.Value:
    """The configuration for the plugin HParams; `began` in seconds since 1970."""
    info = SessionStartInfo(group_name=group, start_time_secs=began)
    for key, value in flat(config):
        if isinstance(value, bool):
            info.hparams[key].bool_value = value
        elif isinstance(value, int | float):
            info.hparams[key].number_value = value
        else:
            info.hparams[key].string_value = str(value)
    return _hparams("_hparams_/session_start_info", HParamsPluginData(session_start_info=info))


def session_end(completed: bool) -> Summary.Value:
    end = SessionEndInfo(status=STATUS_SUCCESS if completed else STATUS_FAILURE)
    return _hparams("_hparams_/session_end_info", HParamsPluginData(session_end_info=end))


def charts(names: Iterable[str]) -> Summary.Value | None:
    """A chart for every measurement that several phases have, with a line for each; None where there is none."""
    phases: dict[str, list[str]] = {}
    for full in names:
        phase, _, name = full.partition("/")
        phases.setdefault(name, []).append(phase)
    shown = {name: found for name, found in phases.items() if len(found) > 1}
    if not shown:
        return None
    category = Category(
        title="phases together",
        chart=[
            Chart(
                title=name,
                multiline=MultilineChartContent(tag=[f"^{phase}/{re.escape(name)}$" for phase in found]),
            )
            for name, found in shown.items()
        ],
    )
    layout = Layout(category=[category]).SerializeToString()
    tensor = TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[layout])
    return Summary.Value(tag="custom_scalars__config__", metadata=_metadata("custom_scalars"), tensor=tensor)


def medium(tag: str, kind: str, path: Path) -> list[Summary.Value]:
    """What a record shows beside its numbers.

    Raises:
        ValueError: TensorBoard has no place for the kind, or the file does not hold what it should.
        OSError: the file is not there.
    """
    if kind == "histograms":
        return [
            Summary.Value(tag=f"{tag}/{name}", histo=_histogram(content["edges"], content["counts"]))
            for name, content in read_json(path).items()
        ]
    if kind == "text":
        return [text(tag, path.read_bytes()[:LONGEST].decode(errors="replace"))]
    if kind == "file":
        return [text(tag, f"`media/{path.name}`, {path.stat().st_size:,} bytes, in the run folder")]
    if kind == "matrix":
        content = read_json(path)
        return [_image(tag, heat_map(content["values"], content.get("labels") or []), path.name)]
    if kind == "image":
        return [_image(tag, path.read_bytes(), path.name)]
    raise ValueError(f"medium {tag!r} is a {kind!r}: expected {', '.join(KINDS)}")


def _image(tag: str, png: bytes, name: str) -> Summary.Value:
    if not png.startswith(b"\x89PNG\r\n"):
        raise ValueError(f"{name} is not a PNG")
    # After the signature comes the IHDR chunk: width and height are at bytes 16 and 20.
    width, height = struct.unpack(">II", png[16:24])
    image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=png)
    return Summary.Value(tag=tag, image=image)


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


def _hparams(tag: str, data: HParamsPluginData) -> Summary.Value:
    nothing = TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)]))
    return Summary.Value(tag=tag, metadata=_metadata("hparams", data.SerializeToString()), tensor=nothing)


def _metadata(plugin: str, content: bytes = b"") -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))
