"""Records as columns of Parquet files: an Arrow schema made from their types, records as its rows and back, shards.

What has one type is a column of that type, nested where the record is; what varies (settings, a tool's arguments, a
provider's raw message) is a column of JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from lrat_sim.artifact import ensure_folder
from lrat_sim.errors import InputError
from lrat_sim.records import Record, decode

if TYPE_CHECKING:
    import pyarrow

R = TypeVar("R", bound=Record)
T = TypeVar("T")
_Change = Callable[[Any], Any]


class RecordColumns(Generic[R]):
    """The columns of one kind of record.

    Args:
        kind: the record's type; its fields become columns of the same names.
    """

    def __init__(self, kind: type[R]):
        self._kind, self._info = kind, inspect.type_info(kind)
        self._pack = _change(self._info, lambda value: msgspec.json.encode(value).decode())
        self._unpack = _change(self._info, msgspec.json.decode)

    @property
    def needed(self) -> list[str]:
        """The columns that a record cannot do without."""
        return [field.name for field in msgspec.structs.fields(self._kind) if field.required]

    @property
    def type(self) -> pyarrow.StructType:
        """The Arrow type of one record."""
        return _arrow(self._info)

    @property
    def schema(self) -> pyarrow.Schema:
        """The schema of a table of them."""
        import pyarrow

        return pyarrow.schema([*self.type])

    def row(self, record: R) -> dict[str, Any]:
        """A record as a row."""
        row: dict[str, Any] = self._pack(msgspec.to_builtins(record))
        return row

    def record(self, row: dict[str, Any]) -> R:
        """A record from a row; other columns of the row are passed over.

        Raises:
            msgspec.ValidationError: a field is missing or of another kind.
            msgspec.DecodeError: a text should be JSON and is not.
        """
        return decode(msgspec.json.encode(self._unpack(row)), self._kind)


def _plain(info: inspect.Type) -> inspect.Type | None:
    """The one type of a value that may be null; None where it has several."""
    if isinstance(info, inspect.UnionType):
        kinds = [kind for kind in info.types if not isinstance(kind, inspect.NoneType)]
        return kinds[0] if len(kinds) == 1 else None
    return info


def _is_json(info: inspect.Type | None) -> bool:
    return info is None or isinstance(info, inspect.DictType | inspect.AnyType)


def _arrow(info: inspect.Type) -> Any:
    import pyarrow

    plain = _plain(info)
    if isinstance(plain, inspect.StructType):
        return pyarrow.struct([(field.name, _arrow(field.type)) for field in plain.fields])
    if isinstance(plain, inspect.ListType):
        return pyarrow.list_(_arrow(plain.item_type))
    simple = ((inspect.BoolType, pyarrow.bool_()), (inspect.IntType, pyarrow.int64()))
    for kind, found in (*simple, (inspect.FloatType, pyarrow.float64())):
        if isinstance(plain, kind):
            return found
    return pyarrow.string()


def _change(info: inspect.Type, change: _Change) -> _Change:
    """Applies ``change`` to what is JSON text in the columns, and leaves the rest."""
    plain = _plain(info)
    if _is_json(plain):
        return lambda value: None if value is None else change(value)
    if isinstance(plain, inspect.ListType):
        of_item = _change(plain.item_type, change)
        return lambda values: None if values is None else [of_item(value) for value in values]
    if isinstance(plain, inspect.StructType):
        fields = {field.name: _change(field.type, change) for field in plain.fields}

        def of_struct(value: dict[str, Any] | None) -> dict[str, Any] | None:
            if value is None:
                return None
            return {name: apply(value[name]) for name, apply in fields.items() if name in value}

        return of_struct
    return lambda value: value


ROW_GROUP = 200
"""Items held in memory at once: 12 MB for trajectories of 60 kB each."""
SHARD = 10_000
"""Items a file."""


def write_shards(
    folder: Path,
    items: Iterable[T],
    tables: Mapping[str, tuple[Any, Callable[[T], dict[str, Any]]]],
    *,
    row_group: int | None = None,
    shard: int | None = None,
) -> int:
    """Writes ``FOLDER/NAME-00000.parquet`` and so on, streaming; at least one file a table, so that none is missing.

    Args:
        folder: it is made.
        items: what is written, a row of each table from each of them.
        tables: name of the files to their schema and what makes the row.
        row_group: items held in memory at once; by default :data:`ROW_GROUP`.
        shard: items a file; by default :data:`SHARD`.

    Returns:
        How many items there were.

    Raises:
        InputError: a value does not fit into its column.
    """
    import pyarrow
    from pyarrow import parquet

    ensure_folder(folder)
    # a row of every table is made from one pass, since the items may be a stream that can be read only once
    items, total, number = iter(items), 0, 0
    row_group = row_group or ROW_GROUP
    group = list(islice(items, row_group))
    while group or not number:
        with ExitStack() as stack:
            files = {name: folder / f"{name}-{number:05}.parquet" for name in tables}
            writers = {
                name: stack.enter_context(parquet.ParquetWriter(file, tables[name][0], compression="zstd"))
                for name, file in files.items()
            }
            written = 0
            while group and written < (shard or SHARD):
                for name, (schema, row) in tables.items():
                    try:
                        writers[name].write_table(pyarrow.Table.from_pylist([row(item) for item in group], schema))
                    except (pyarrow.ArrowException, OverflowError) as error:
                        problem = f"a row of {name} cannot be written as Parquet ({error}); leave it out."
                        raise InputError(problem) from error
                written += len(group)
                group = list(islice(items, row_group))
        total += written
        number += 1
    return total


def schema_of(kinds: Mapping[str, str]) -> Any:
    """The schema of columns by their kinds: ``text``, ``number``, ``decimal``, ``list of texts`` and so on."""
    import pyarrow

    plain = {"text": pyarrow.string(), "number": pyarrow.int64(), "decimal": pyarrow.float64()}
    types = plain | {f"list of {name}s": pyarrow.list_(kind) for name, kind in plain.items()}
    return pyarrow.schema([(name, types[kind]) for name, kind in kinds.items()])
