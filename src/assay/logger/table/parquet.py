"""Measurements as Parquet files in the run folder, written when the run ends."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.logger.table.csv import TableLogger
from assay.logger.table.sheet import Sheet
from assay.store.run_folder import FINAL

__all__ = ["ParquetLogger"]

_ROWS = 1 << 17  # of a row group: some 10 MB in memory
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream
_TYPES = {"phase": "string", "name": "string", "value": "float64"}


class ParquetLogger(TableLogger):
    """Every value of the journal as a row of `tables/measurements.parquet` in the run folder, those of the machine in
    `tables/system.parquet`. They are there when the run has ended, or after `assay sync`; until then the rows are kept
    in an Arrow stream beside them.
    """

    form = "parquet"

    def __init__(self) -> None:
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise ModuleNotFoundError("ParquetLogger needs pyarrow: pip install 'assay[parquet]'") from error
        self._arrow: Any = pyarrow

    def sheet(self, path: Path, columns: Sequence[str]) -> Sheet:
        return _ArrowSheet(path.with_name(f".{path.name}.arrows"), columns, self._arrow)

    def close(self, status: str) -> None:
        for name, sheet in (("measurements", self.measurements), ("system", self.samples)):
            if self.position.sizes[name] >= 0 and isinstance(sheet, _ArrowSheet):
                sheet.publish()
        if status in (*FINAL, "died"):
            # Where the run is resumed all the same, the streams are written anew from the journal.
            self.position.sizes = dict.fromkeys(self.position.sizes, -1)
            self.save()
            self.measurements.path.unlink(missing_ok=True)
            self.samples.path.unlink(missing_ok=True)


class _ArrowSheet(Sheet):
    """An Arrow stream without its end: a schema, and a batch for each call."""

    def __init__(self, path: Path, columns: Sequence[str], arrow: Any) -> None:
        super().__init__(path, columns)
        self._arrow = arrow
        times = arrow.timestamp("us", tz="UTC")
        types = {name: getattr(arrow, _TYPES.get(name, "int64"))() for name in columns} | {"time": times}
        self._schema = arrow.schema(list(types.items()))
        self._options = arrow.ipc.IpcWriteOptions(compression="zstd")

        self.published = path.with_name(path.name.removeprefix(".")).with_suffix(".parquet")
        stream = io.BytesIO()
        arrow.ipc.new_stream(stream, self._schema, options=self._options).close()
        self._head = stream.getvalue().removesuffix(_END)

    def head(self) -> bytes:
        return self._head

    def encoded(self, rows: Sequence[Sequence[Any]]) -> bytes:
        columns = dict(zip(self.columns, map(list, zip(*rows, strict=True)), strict=True))
        columns["time"] = [round(time * 1e6) for time in columns["time"]]
        arrays = [self._arrow.array(columns[field.name], field.type) for field in self._schema]
        stream = io.BytesIO()
        writer = self._arrow.ipc.new_stream(stream, self._schema, options=self._options)
        writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))
        return stream.getvalue().removeprefix(self._head)

    def holds(self, size: int) -> bool:
        """Of a run that has ended there is no stream any more, and it is not missed before something new comes."""
        return super().holds(size) if size >= 0 else self.published.is_file()

    def publish(self) -> None:
        """Write the rows as a Parquet file, a group of them at a time."""
        temporary = self.published.with_name(f".{self.published.name}.tmp")
        with (
            self._arrow.OSFile(str(self.path)) as file,
            self._arrow.parquet.ParquetWriter(temporary, self._schema, compression="zstd") as writer,
        ):
            batches, rows = [], 0
            for batch in self._arrow.ipc.open_stream(file):
                batches.append(batch)
                rows += batch.num_rows
                if rows >= _ROWS:
                    writer.write_table(self._arrow.Table.from_batches(batches))
                    batches, rows = [], 0
            if batches:
                writer.write_table(self._arrow.Table.from_batches(batches))
        temporary.replace(self.published)
