"""Records as columns: an Arrow schema made from their types, and records as its rows and back.

What has one type is a column of that type, nested where the record is; what varies (settings, a tool's arguments, a
provider's raw message) is a column of JSON text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from lrat_sim.records import Record, decode

if TYPE_CHECKING:
    import pyarrow

R = TypeVar("R", bound=Record)
_Change = Callable[[Any], Any]


class Columns(Generic[R]):
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
