"""Data sets for the Hugging Face hub and ``datasets``: Parquet files of records, and the card, README.md.

What has one type is a column of that type, nested where the record is; what varies (settings, a tool's arguments) is a
column of JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import yaml
from msgspec import inspect

from lrat_sim import __version__
from lrat_sim.artifact import ensure_folder
from lrat_sim.catalog import read_yaml
from lrat_sim.decoding import from_json
from lrat_sim.errors import InputError
from lrat_sim.formats.registry import About
from lrat_sim.records import Record, decode
from lrat_sim.tables import Table

if TYPE_CHECKING:
    import pyarrow

R = TypeVar("R", bound=Record)
T = TypeVar("T")
_CARDS = Path(__file__).with_name("cards")
_COLUMNS: dict[str, Any] = read_yaml(_CARDS / "columns.yaml")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


# --- Parquet


class RecordColumns(Generic[R]):
    """The columns of one kind of record: its fields, by their names."""

    def __init__(self, kind: type[R]):
        self._kind, self._info = kind, inspect.type_info(kind)
        self.needed = [field.name for field in msgspec.structs.fields(kind) if field.required]

    @property
    def type(self) -> pyarrow.StructType:
        """The Arrow type of one record, whose fields are the columns of a table of them."""
        return _arrow(self._info)

    def row(self, record: R) -> dict[str, Any]:
        """A record as a row."""
        row: dict[str, Any] = _changed(
            msgspec.to_builtins(record), self._info, lambda value: msgspec.json.encode(value).decode()
        )
        return row

    def record(self, row: dict[str, Any]) -> R:
        """A record from a row; other columns of the row are passed over."""
        return decode(msgspec.json.encode(_changed(row, self._info, from_json)), self._kind)


def _plain(info: inspect.Type) -> inspect.Type | None:
    """The one type of a value that may be null; None of what varies, which is JSON text in the columns."""
    if isinstance(info, inspect.UnionType):
        kinds = [kind for kind in info.types if not isinstance(kind, inspect.NoneType)]
        return _plain(kinds[0]) if len(kinds) == 1 else None
    return None if isinstance(info, inspect.DictType | inspect.AnyType) else info


def _arrow(info: inspect.Type) -> Any:
    import pyarrow

    plain = _plain(info)
    if isinstance(plain, inspect.StructType):
        return pyarrow.struct([(field.name, _arrow(field.type)) for field in plain.fields])
    if isinstance(plain, inspect.ListType):
        return pyarrow.list_(_arrow(plain.item_type))
    simple: dict[Any, Any] = {
        inspect.BoolType: pyarrow.bool_,
        inspect.IntType: pyarrow.int64,
        inspect.FloatType: pyarrow.float64,
    }
    return simple.get(type(plain), pyarrow.string)()


def _changed(value: Any, info: inspect.Type, change: Callable[[Any], Any]) -> Any:
    """A value with ``change`` applied to what is JSON text in the columns."""
    if value is None:
        return None
    plain = _plain(info)
    if plain is None:
        return change(value)
    if isinstance(plain, inspect.ListType):
        return [_changed(item, plain.item_type, change) for item in value]
    if isinstance(plain, inspect.StructType):
        return {
            field.name: _changed(value[field.name], field.type, change) for field in plain.fields if field.name in value
        }
    return value


def write_shards(
    folder: Path,
    items: Iterable[T],
    tables: Mapping[str, tuple[Any, Callable[[T], dict[str, Any]]]],
    *,
    row_group: int,
    shard: int,
) -> int:
    """Writes ``FOLDER/NAME-00000.parquet`` and so on, streaming; returns how many items there were.

    ``tables`` maps the name of the files, of which there is at least one, to their schema and what makes the row of an
    item; ``row_group`` items are in memory at once, ``shard`` items in a file.
    """
    import pyarrow
    from pyarrow import parquet

    ensure_folder(folder)
    # a row of every table is made from one pass, since the items may be a stream that can be read only once
    items, total, number = iter(items), 0, 0
    group = list(islice(items, row_group))
    while group or not number:
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(
                    parquet.ParquetWriter(folder / f"{name}-{number:05}.parquet", schema, compression="zstd")
                )
                for name, (schema, _) in tables.items()
            }
            end = total + shard
            while group and total < end:
                for name, (schema, row) in tables.items():
                    try:
                        writers[name].write_table(pyarrow.Table.from_pylist([row(item) for item in group], schema))
                    except (pyarrow.ArrowException, OverflowError) as error:
                        problem = f"a row of {name} cannot be written as Parquet ({error}); leave it out."
                        raise InputError(problem) from error
                total += len(group)
                group = list(islice(items, row_group))
        number += 1
    return total


def schema_of(columns: str | Mapping[str, str]) -> Any:
    """The schema of columns by their kinds (``text``, ``list of texts``, ...), or of a table in columns.yaml."""
    import pyarrow

    plain = {"text": pyarrow.string(), "number": pyarrow.int64(), "decimal": pyarrow.float64()}
    types = plain | {f"list of {name}s": pyarrow.list_(kind) for name, kind in plain.items()}
    if isinstance(columns, str):
        columns = {name: kind for name, (kind, _) in _COLUMNS[columns].items()}
    return pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])


# --- the card


def _described(title: str, *tables: str) -> str:
    columns = {name: known for table in tables for name, known in _COLUMNS[table].items()}
    rows = [(f"`{name}`", known if isinstance(known, str) else known[1]) for name, known in columns.items()]
    return Table.of(title, ["column", "meaning"], rows, text_columns=(0, 1)).to_markdown()


def write_card(folder: Path, template: str, about: About, *, rows: int, canaries: Iterable[str], **values: Any) -> None:
    """Writes README.md from a template in ``cards/``; ``values`` are what only that template needs."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    head = {
        "pretty_name": about.name,
        "license": about.license,
        "language": [about.language],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")],
    }
    values |= {
        "head": yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(),
        "about": about,
        "rows": rows,
        "canaries": sorted(canaries),
        "version": __version__,
        "described": _described,
    }
    cards = Environment(loader=FileSystemLoader(_CARDS), undefined=StrictUndefined, autoescape=False)
    (folder / "README.md").write_text(cards.get_template(f"{template}.md").render(values), encoding="utf-8")
