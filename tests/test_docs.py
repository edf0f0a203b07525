"""The documentation: it builds without a warning, asks no other host, and what it says to type can be typed."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import typer
import yaml
from html_page import Page

from lrat_sim.cli import build

ROOT = Path(__file__).parents[1]
COMMANDS = typer.main.get_command(build()).commands
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def _load(path):
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


record = _load(DOCS / "record.py")
SOURCES = [*PAGES, ROOT / "README.md"]
BLOCKS = [(path, block) for path in SOURCES for block in record.blocks(path.read_text(encoding="utf-8"))]


def _place(item):
    path, block = item
    return f"{path.relative_to(ROOT)}:{block.text.splitlines()[0][:40] if block.text else ''}"


def _lines(language):
    for path, block in BLOCKS:
        if block.language == language:
            yield path, block


LRAT_SIM = [
    (path, command)
    for path, block in _lines("sh")
    for command in record.commands(block.text)
    if re.search(r"(^|\s)(lrat-sim|lrat_sim\.cli) (?!&&)", command)
]


def _arguments(command):
    """What follows ``lrat-sim``, up to a pipe; also behind ``VARIABLE=...`` and ``torchrun --module``."""
    words = shlex.split(command.split(" | ")[0])
    return words[next(place for place, word in enumerate(words) if word in ("lrat-sim", "lrat_sim.cli")) + 1 :]


@pytest.mark.parametrize(("path", "command"), LRAT_SIM, ids=[f"{p.stem}-{n}" for n, (p, _) in enumerate(LRAT_SIM)])
def test_every_command_of_the_documentation_is_one(path, command, monkeypatch):
    """Parsed by the command line itself, whose commands are not called: unknown options and values are refused."""
    name, *given = _arguments(command)
    assert name in COMMANDS, f"{path.name}: there is no command {name}"
    # the terminal's own programs may be missing in what a page shows, the options may not
    with COMMANDS[name].make_context(name, given) as context:
        assert context.args == []


def test_commands_that_a_sentence_names_exist():
    named = {
        name for path in SOURCES for name in re.findall(r"`lrat-sim ([a-z][\w-]*)", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 5
    assert named <= {*COMMANDS}


def test_the_check_of_commands_can_fail():
    with pytest.raises(Exception, match="no-such-option"):
        COMMANDS["mine"].make_context("mine", ["runs/collect", "--no-such-option"])


@pytest.mark.parametrize("item", list(_lines("python")), ids=_place)
def test_every_python_block_compiles(item):
    path, block = item
    include = re.fullmatch(r"--8<--\n(.+)\n--8<--\n", block.text)
    text = (ROOT / include[1]).read_text(encoding="utf-8") if include else block.text
    tree = ast.parse(text)
    for node in ast.walk(tree):  # what is imported from this package is there
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lrat_sim"):
            module = __import__(node.module, fromlist=[each.name for each in node.names])
            for each in node.names:
                assert hasattr(module, each.name), f"{path.name}: {node.module} has no {each.name}"


@pytest.mark.parametrize("item", [*_lines("yaml"), *_lines("json")], ids=_place)
def test_every_settings_block_can_be_read(item):
    _, block = item
    if not block.text.startswith("--8<--"):
        assert json.loads(block.text) if block.language == "json" else yaml.safe_load(block.text)


@pytest.mark.parametrize("path", [*SOURCES, ROOT / "CONTRIBUTING.md"], ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_page_names_exist(path):
    text = path.read_text(encoding="utf-8")
    outside = re.sub(r"(?ms)^ *```.*?^ *```$", "", text)
    folders = "agents|benchmarks|corpora|docs|examples|lrat_sim|prompts|tests"
    # in a command that a page quotes, too
    for name in re.findall(rf"`(?:[^`\n]* )?((?:{folders})/[\w./*-]+)[^`\n]*`", outside):
        if name.isupper() or "NAME" in name:
            continue
        assert list(ROOT.glob(name.rstrip("/"))) or name.endswith("/"), f"{path.name} names {name}"
    for name in re.findall(r'--8<-- "(.+?)"|--8<--\n(.+?)\n--8<--', text):
        name = "".join(name)
        assert (ROOT / name).is_file(), f"{path.name} includes {name}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_agents_recipes_and_retrievers_that_a_page_names_exist(path):
    from lrat_sim import catalog

    text = path.read_text(encoding="utf-8")
    recipes = {name for name in re.findall(r"\b((?:mine|train)-[a-z0-9-]+)\b", text)}
    known = {*catalog.names("recipes"), "train-time"}
    assert not {name for name in recipes if f"`{name}`" in text} - known


def test_every_module_has_its_place_in_the_reference_or_is_a_part_of_one():
    """A station without a page would be forgotten; single modules may be left out of it."""
    pages = " ".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    named = {name.split(".")[1] for name in re.findall(r"(?m)^::: (lrat_sim\.\w+)", pages)}
    stations = {path.stem for path in (ROOT / "lrat_sim").iterdir() if path.suffix in ("", ".py")}
    inner = {"__init__", "__pycache__", "py", "py.typed", "cli", "recipes", "colours"}
    assert stations - named - inner == set()


def _fetched(page):
    """What a browser fetches for a page."""
    for tag, given in Page(page.read_text(encoding="utf-8")).elements:
        if tag in ("script", "img", "iframe", "source"):
            yield given.get("src") or ""
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            yield given.get("href") or ""


@pytest.fixture(scope="module")
def site(shared):
    """The built site; a warning is an error."""
    from filelock import FileLock

    folder = shared / "site"
    with FileLock(shared / "site.lock"):
        if not folder.is_dir():
            command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
            environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_builds_without_a_warning_and_asks_no_other_host(site):
    pages = list(site.rglob("*.html"))
    assert {path.relative_to(DOCS).with_suffix(".html") for path in PAGES} <= {p.relative_to(site) for p in pages}
    for page in pages:
        elsewhere = [name for name in _fetched(page) if re.match(r"(https?:)?//", name)]
        assert elsewhere == [], f"{page.name} fetches {elsewhere}"
    assert not list(site.rglob("*.py")), "the tools of the documentation are no part of it"


def test_equations_are_drawn(site):
    method = (site / "method.html").read_text(encoding="utf-8")
    shown = Page(method).values("class").count("equation")
    lines = [block for path, block in BLOCKS if path.name == "method.md" and block.language == "math"]
    assert shown == sum(len(block.text.strip().splitlines()) for block in lines) > 5
    assert "\\frac" not in re.sub(r'aria-label="[^"]*"', "", method)


def test_every_command_and_option_stands_in_the_reference(site):
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for name, command in COMMANDS.items():
        assert f'id="{name}"' in page
        for option in command.params:
            assert option.name == "help" or option.hidden or option.opts[0].upper() in page.upper()


RUNS = [path for path in PAGES if any(b.language == "sh" and b.not_run is None for p, b in BLOCKS if p == path)]


def test_what_is_not_run_says_why():
    """Outside of the pages that only show commands: the rest runs, in the slow tests."""
    assert {path.name for path in RUNS} >= {"tutorial.md", "generate.md", "compare.md", "pairs.md", "formats.md"}
    for path in (DOCS / "how-to").glob("*.md"):
        for block in record.blocks(path.read_text(encoding="utf-8")):
            assert block.not_run is None or len(block.not_run) > 5


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in RUNS if p.name != "index.md"], ids=lambda p: str(p.relative_to(DOCS)))
def test_the_commands_of_a_page_run_word_for_word(path, tmp_path):
    record.recorded(path.read_text(encoding="utf-8"), tmp_path)
