"""Parquet and Arrow tables, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lrat_sim.foreign import reading
from lrat_sim.foreign.values import Found

_PARQUET = b"PAR1"
_MAGIC = (_PARQUET, b"ARRO", b"\xff\xff\xff\xff")
"""What tables begin with; the last is Arrow's stream, as `datasets` saves it."""
_ROWS = 64
"""Rows in memory at once: one may hold a whole trajectory."""
_REMEDY = "get or write the file again"


def is_table(path: Path) -> bool:
    """Whether a file is a table, by its name or by how it begins."""
    return path.suffix.lower() in (".parquet", ".arrow") or _begin(path) in _MAGIC


def _begin(path: Path) -> bytes:
    with reading(f"{path} cannot be read", "give an existing file"), path.open("rb") as stream:
        return stream.read(4)


def columns_of(path: Path) -> dict[str, str]:
    """The columns of a Parquet table with their types; none of any other file.

    Raises:
        InputError: it is damaged.
    """
    from pyarrow import parquet

    if _begin(path) != _PARQUET:
        return {}
    with reading(f"{path} cannot be read", _REMEDY):
        return {column.name: str(column.type) for column in parquet.read_schema(path)}


def rows(path: Path, columns: list[str] | None = None) -> Iterator[Found]:
    """The rows of a table, streaming.

    Args:
        path: the file.
        columns: of a Parquet table, those to read; by default all.

    Raises:
        InputError: it is damaged.
    """
    number = 0
    with reading(f"{path} cannot be read", _REMEDY):
        for batch in _batches(path, columns):
            batch.validate(full=True)  # else damage is followed to wherever it leads
            for start in range(0, batch.num_rows, _ROWS):
                for row in batch.slice(start, _ROWS).to_pylist():
                    number += 1
                    yield Found(row, path, number, "row")


def _batches(path: Path, columns: list[str] | None) -> Iterator[Any]:
    import pyarrow
    from pyarrow import parquet

    if path.suffix.lower() == ".parquet" or _begin(path) == _PARQUET:
        with parquet.ParquetFile(path) as table:
            yield from table.iter_batches(_ROWS, columns=columns)
        return
    with pyarrow.memory_map(str(path)) as source:
        try:
            stream = pyarrow.ipc.open_stream(source)
        except pyarrow.ArrowInvalid:
            file = pyarrow.ipc.open_file(source)
            yield from map(file.get_batch, range(file.num_record_batches))
        else:
            yield from stream
