import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.errors import FingerprintMismatch, InputError
from lrat_sim.fingerprint import check_fingerprint, fingerprint, fingerprint_file
from lrat_sim.records import Document

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def turned(value):
    """The same value with every mapping in another order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(each) for each in value] if isinstance(value, list) else value


@settings(max_examples=50, deadline=None)
@given(JSON)
def test_order_of_keys_does_not_matter(value):
    assert fingerprint(turned(value)) == fingerprint(value)


def test_any_difference_of_content_matters():
    values = [{"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": None}, {}, [1, 2], [2, 1], {"a": {"b": 1}}]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_struct_has_the_fingerprint_of_its_fields():
    assert fingerprint(Document(id="d", text="t")) == fingerprint({"id": "d", "text": "t", "title": ""})


def test_another_process_gives_the_same_fingerprint():
    code = "from lrat_sim.fingerprint import fingerprint; print(fingerprint({'k1': 1.5, 'b': {'x': [1, None]}}))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said == fingerprint({"b": {"x": [1, None]}, "k1": 1.5})
    assert len(said) == 16


def test_file_is_known_by_its_bytes(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"same")
    two.write_bytes(b"same")
    assert fingerprint_file(one) == fingerprint_file(two)
    two.write_bytes(b"other")
    assert fingerprint_file(one) != fingerprint_file(two)


def test_mismatch_names_each_field_with_both_values_and_the_remedy():
    recorded = {"corpus": "aa", "model": "m", "length": 512}
    with pytest.raises(FingerprintMismatch) as raised:
        check_fingerprint(
            "the index at runs/a", recorded, {"corpus": "bb", "model": "m", "prompt": "p"}, "build it anew"
        )
    message = str(raised.value)
    for part in ("the index at runs/a", "corpus was 'aa' and is now 'bb'", "length was 512", "prompt was None", "anew"):
        assert part in message
    assert "model" not in message
    assert isinstance(raised.value, InputError)


def test_equal_identities_pass():
    check_fingerprint("the index", {"a": 1, "b": 2}, {"b": 2, "a": 1}, "build it anew")
