"""Parquet tables, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lrat_sim.errors import InputError
from lrat_sim.interchange.values import Found
from lrat_sim.llm.message import recordable

MAGIC = b"PAR1"
"""What such a file begins with."""
_BATCH = 20
"""Rows in memory at once."""


def columns_of(path: Path) -> dict[str, str]:
    """The columns of a Parquet table with their types; none of any other file.

    Raises:
        InputError: it is damaged.
    """
    from pyarrow import parquet

    with _of_table(path):
        with path.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:
                return {}
        return {column.name: str(column.type) for column in parquet.read_schema(path)}


def rows(path: Path, columns: list[str] | None = None) -> Iterator[Found]:
    """The rows of a Parquet table, streaming.

    Args:
        path: the file.
        columns: those to read; by default all.

    Raises:
        InputError: it is damaged.
    """
    from pyarrow import parquet

    number = 0
    with _of_table(path), parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(_BATCH, columns=columns):
            batch.validate(full=True)  # else damage is followed to wherever it leads
            for row in batch.to_pylist():
                number += 1
                value = recordable(msgspec.to_builtins(row, enc_hook=str))
                yield Found(value, path.with_name(f"{path.name}, row {number}"), 0, row=True)


@contextmanager
def _of_table(path: Path) -> Iterator[None]:
    """Says of which file a fault is that pyarrow finds; damaged data raise these and more of its own."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path} cannot be read ({error}); get or write it again.") from error
