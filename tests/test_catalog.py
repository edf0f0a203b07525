import msgspec
import platformdirs
import pytest
import yaml

from lrat_sim import catalog
from lrat_sim.errors import InputError, UnknownName


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    temperature: float = 1.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    turns: int = 10
    sampling: Sampling = Sampling()


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty working directory, user's folder and package folder, in the order in which they are searched."""
    work, user, own = (tmp_path / name for name in ("work", "user", "own"))
    for place in (work, user, own):
        (place / "agents").mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setattr(platformdirs, "user_config_dir", lambda *_: str(user))
    monkeypatch.setattr(catalog, "_own", lambda kind: own / kind)
    return work, user, own


# a value of nine values, each of nine, ...: nine short lines, and 9⁸ values
BILLION = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 1}]\n" for n in range(9))


def write(place, name, content="model: m\n"):
    path = place / "agents" / f"{name}.yaml"
    path.write_text(content)
    return path


def test_name_is_looked_for_here_then_with_the_user_then_in_the_package(places):
    for place in reversed(places):
        path = write(place, "searcher")
        assert catalog.find("agents", "searcher").resolve() == path


def test_path_is_taken_as_it_is(places, tmp_path):
    write(places[0], "searcher")
    other = tmp_path / "searcher.yaml"
    other.write_text("model: other\n")
    assert catalog.find("agents", str(other)) == other


def test_names_are_those_of_all_places_once(places):
    work, user, own = places
    for place, name in ((work, "b"), (user, "a"), (own, "b"), (own, "c")):
        write(place, name)
    assert catalog.names("agents") == ["a", "b", "c"]


def test_unknown_name_lists_the_known(places):
    write(places[2], "searcher")
    with pytest.raises(UnknownName) as raised:
        catalog.find("agents", "sercher")
    assert "'sercher'" in str(raised.value)
    assert "known are searcher" in str(raised.value)
    assert raised.value.known == ["searcher"]


def test_settings_are_read_with_single_fields_overridden(places):
    write(places[0], "searcher", "model: m\nsampling: {temperature: 0.5}\n")
    settings = catalog.load("agents", "searcher", Settings, {"turns": "3", "sampling.temperature": 0.85})
    assert settings == Settings(model="m", turns=3, sampling=Sampling(temperature=0.85))


def test_a_file_that_extends_another_says_only_what_differs(places):
    write(places[2], "base", "model: m\nturns: 3\nprovider: {top_k: 5, thinking: {type: enabled, keep: no}}\n")
    write(places[0], "middle", "extends: base\nturns: 4\n")
    write(places[0], "own", "extends: middle\nmodel: n\nprovider: {thinking: {keep: yes}}\n")
    provider = {"top_k": 6, "thinking": {"type": "enabled", "keep": True}}
    assert catalog.load("agents", "own", dict, {"provider.top_k": 6}) == {
        "model": "n",
        "turns": 4,
        "provider": provider,
    }
    for base in ("own", "[own]"):
        write(places[2], "base", f"extends: {base}\nmodel: m\n")
        with pytest.raises(InputError, match=r"yaml: `extends` is .*; name another of the agents"):
            catalog.load("agents", "own", dict)


@pytest.mark.parametrize("number", ["1e-6", "2e-4", "-1E+3", "5.e2", ".5e0", "1.5e-3", "7", "0.25"])
def test_numbers_with_an_exponent_are_numbers_in_files_and_overrides(places, number):
    write(places[0], "searcher", f"model: m\nsampling: {{temperature: {number}}}\n")
    assert catalog.load("agents", "searcher", Settings).sampling.temperature == float(number)
    write(places[0], "plain")
    overridden = catalog.load("agents", "plain", Settings, {"sampling.temperature": number})
    assert overridden.sampling.temperature == float(number)


@pytest.mark.parametrize("text", ["e5", "1e", "1e-", "1e5x", "v1e5", "1.2.3e4", "'1e5'"])
def test_texts_that_only_look_like_such_numbers_stay_texts(places, text):
    write(places[0], "searcher", f"model: {text}\n")
    assert catalog.load("agents", "searcher", Settings).model == text.strip("'")


@pytest.mark.parametrize("text", ["1234567890123e45", "1e-6", "0123", "null"])
def test_a_text_that_was_written_comes_back_as_text(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"fingerprint": text}))
    assert catalog.read_yaml(path) == {"fingerprint": text}


@pytest.mark.parametrize(
    ("content", "overrides", "said"),
    [
        ("model: m\nturn: 3\n", {}, "turn"),
        ("model: m\nturns: many\n", {}, "`turns`: expected `int`"),
        ("turns: 3\n", {}, "model"),
        ("model: m\n", {"sampling.heat": 1}, "heat"),
        ("model: m\n", {"model.name": 1}, "`model` holds a plain value"),
        ("model: m\n", {"turns": "[3"}, "not a YAML value"),
        ("model: [m\n", {}, "not YAML"),
        ("- model\n", {}, "mapping of settings, not list"),
        ("", {}, "mapping of settings, not NoneType"),
        ("model: 2001-02-30\n", {}, "day is out of range"),
        ("turns: 1" + "0" * 5000, {}, "is not YAML"),
        ("turns: 1" + "0" * 30, {}, "a whole number has more than 63 bits"),
        ("sampling: &a {temperature: *a}\n", {}, "levels deep"),
        ("sampling: &a [1, *a]\n", {}, "levels deep"),
        ("model: " + "[" * 60 + "]" * 60, {}, "levels deep"),
        ("model: " + "[" * 5000, {}, "is not YAML"),
        (BILLION, {}, "100,000 values"),
        ("model: !!python/object:os.system x\n", {}, "is not YAML"),
        ("? [a]\n: b\n", {}, "is not YAML"),
        ("model: m\n", {"turns": "2001-99-99"}, "turns=2001-99-99 is not a YAML value"),
        ("model: m\n", {"turns": "&a [*a]"}, "not a YAML value"),
        ("model: m\n", {"turns": "9" * 5000}, "not a YAML value"),
        ("model: m\n", {"sampling": "[" * 3000}, "not a YAML value"),
        ('model: "half a \\ud83d"\n', {}, "is not YAML .*surrogates"),
        ("model: m\n", {"model": "a byte that is none: \udcff"}, "not a YAML value"),
        ("sampling: {7: 2}\n", {}, "is not YAML .*keys"),
    ],
)
def test_wrong_settings_are_refused_with_the_file_and_the_field(places, content, overrides, said):
    path = write(places[0], "searcher", content)
    with pytest.raises(InputError, match=said) as raised:
        catalog.load("agents", "searcher", Settings, overrides)
    assert path.name in str(raised.value) or "YAML value" in str(raised.value)
    assert len(str(raised.value)) < 500
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("change", [lambda data: b"\xef\xbb\xbf" + data, lambda data: data.replace(b"\n", b"\r\n")])
def test_files_as_windows_writes_them_are_read_as_any(places, change):
    path = write(places[0], "searcher", "model: m\nturns: 3\n")
    path.write_bytes(change(path.read_bytes()))
    assert catalog.load("agents", "searcher", Settings) == Settings(model="m", turns=3)
    (places[0] / "prompts").mkdir()
    (places[0] / "prompts" / "mine.txt").write_bytes(change(b"Search.\nAnswer.\n"))
    assert catalog.read_text("prompts", "mine") == "Search.\nAnswer.\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_another_encoding_is_named(places, encoding):
    for kind, name in (("agents", "searcher.yaml"), ("prompts", "mine.txt")):
        (places[0] / kind).mkdir(exist_ok=True)
        (places[0] / kind / name).write_bytes("model: caf\u00e9\n".encode(encoding))
        with pytest.raises(InputError, match=rf"{name} is .*save it as UTF-8"):
            catalog.load("agents", "searcher", Settings) if kind == "agents" else catalog.read_text(kind, "mine")


def test_missing_yaml_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml cannot be read"):
        catalog.read_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize("kind", ["agents", "prompts"])
def test_own_copy_is_found_from_any_folder(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = catalog.names(kind)
    assert names
    assert all(catalog.read_text(kind, name).strip() for name in names)


def test_an_error_in_a_field_that_was_set_beside_the_file_says_so(places):
    (places[0] / "agents" / "own.yaml").write_text("model: m\n")
    with pytest.raises(
        InputError, match=r"own\.yaml, with sampling\.temperature set: `sampling\.temperature`: expected"
    ):
        catalog.load("agents", "own", Settings, {"sampling.temperature": "hot"})
