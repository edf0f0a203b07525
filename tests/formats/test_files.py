from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest

from lrat_sim.errors import InputError, RecordError
from lrat_sim.foreign.values import json_value
from lrat_sim.formats.fields import same_json
from lrat_sim.formats.output import file_name
from lrat_sim.formats.sources import recognise

HERE = Path("here.json")


def test_what_pythons_json_module_writes_beyond_json_can_be_read_and_recorded() -> None:
    value = {"a": [math.nan, -math.inf, 1e308 * 10], "b": 10**30, "c": "\ud800x", "d": -(2**63), "e": 1.5}
    read = json_value(json.dumps(value), HERE)
    assert read == {"a": ["NaN", "-Infinity", "Infinity"], "b": str(10**30), "c": "\\ud800x", "d": -(2**63), "e": 1.5}
    assert json_value("[1e999]", HERE) == ["1e999"]
    assert msgspec.json.decode(msgspec.json.encode(read)) == read


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000 + "]" * 100_000, '{"a": "\x00"}x', b"\xff\xfe", "nan"])
def test_what_is_no_json_is_refused_in_one_sentence(text: str | bytes) -> None:
    with pytest.raises(RecordError, match=r"^here\.json, line 4: (not )?JSON.*; correct or delete that line\.$"):
        json_value(text, HERE, 4)


def test_names_of_files_are_plain_and_differ() -> None:
    names = ["", ".", "..", "a/b", "a%2Fb", "InfoSeek-Eval_0", "x" * 300, "x" * 299, "\x00", "é" * 90]
    names += ["q1", "Q1", "q1", "q1~2", "q1~3", "con", "NUL.a", "a\nb", "\u0301e"]
    taken: set[str] = set()
    files = [file_name(name, taken) for name in names]
    assert len({name.lower() for name in files}) == len(names) == len(taken)
    assert "InfoSeek-Eval_0" in files
    assert all(len(name.encode()) < 200 and "/" not in name and not name.startswith(".") for name in files)
    assert not {name.split(".")[0].lower() for name in files} & {"con", "nul"}


def test_json_is_the_same_up_to_the_order_of_keys_but_not_of_kinds() -> None:
    assert same_json({"a": 1, "b": [True]}, {"b": [True], "a": 1})
    assert not same_json(1, True)
    assert not same_json([1, 2], [2, 1])


def test_what_damages_a_source_is_said_where_no_format_recognises_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"query_id": ')
    with pytest.raises(InputError, match=r"a\.json, line 1: not JSON"):
        recognise(tmp_path / "a.json")
