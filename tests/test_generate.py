"""Options are made from annotations: names, repetition, bounds, defaults."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from msgspec import Meta
from typer.testing import CliRunner

from lrat_sim.cli.generate import command
from lrat_sim.errors import InputError
from lrat_sim.settings import Positive, Settings, Whole, build, settings_of


class Inner(Settings, frozen=True, kw_only=True):
    """Settings within."""

    max_cost: Annotated[Positive | None, Meta(description="US dollars.")] = None
    cache: Annotated[str | bool, Meta(description="A file.")] = True


class Outer(Settings, frozen=True, kw_only=True):
    """Settings."""

    seeds: Annotated[tuple[Whole, ...], Meta(description="Seeds.")] = (1,)
    shares: Annotated[dict[str, float], Meta(description="Shares.")] = {}
    inner: Inner = Inner()


def made(
    names: Annotated[list[str], Meta(description="Names.")],
    out: Annotated[Path | None, Meta(description="The folder.")] = None,
    *,
    k: Annotated[int, Meta(ge=1, description="Results.")] | None = None,
    kind: Literal["one", "two"] = "one",
    dry_run: bool = False,
    adaptive: bool = True,
    options: dict[str, Any] = {},  # noqa: B006  # as verbs have it
    **settings: Annotated[Any, Outer],
) -> dict[str, Any]:
    """Say what came.

    In Python, nothing is said of this.
    """
    return {**locals(), **settings}


@pytest.fixture
def said():
    """said(line) gives what a command line's function returns, by default its arguments."""

    def run(line, function=made):
        seen = []
        app = typer.Typer()
        app.command()(command(function, seen.append))
        done = CliRunner().invoke(app, line.split())
        if isinstance(done.exception, InputError):
            raise done.exception
        return seen[0] if seen else done

    return run


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("a b", "names", ["a", "b"]),
        ("a -o x", "out", Path("x")),
        ("a -k 3", "k", 3),
        ("a", "k", None),
        ("a --kind two", "kind", "two"),
        ("a --dry-run", "dry_run", True),
        ("a --no-adaptive", "adaptive", False),
        ("a --option x=1 --option y=b=c", "options", {"x": "1", "y": "b=c"}),
        ("a --seed 3 --seed 4", "seeds", [3, 4]),
        ("a", "seeds", [1]),
        ("a --share bm25:b=0.5=0.1", "shares", {"bm25:b=0.5": 0.1}),
        ("a --max-cost 2", "max_cost", 2.0),
        ("a", "cache", True),
        ("a --cache f", "cache", "f"),
        ("a --no-cache", "cache", False),
    ],
)
def test_an_option_is_the_argument(said, line, name, value):
    assert said(line)[name] == value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a --max-cost 0", "--max-cost is 0"),
        ("a --seed 0", "--seed"),
        ("a --option =1", "KEY=VALUE"),
        ("a --share bm25=much", "KEY=NUMBER"),
        ("a --cache f --no-cache", "contradict"),
    ],
)
def test_a_value_that_is_not_allowed_names_the_option(said, line, message):
    try:
        found = said(line).output
    except InputError as error:
        found = str(error)
    assert message in found


def test_help_has_descriptions_bounds_and_defaults_and_nothing_of_python(said):
    text = " ".join(said("--help").output.split())
    for part in ("Say what came.", "--seed", "Seeds. Repeatable.", "US dollars.", "[x>=1]", "<one|two>"):
        assert part in text
    assert "In Python" not in text


def test_records_within_records_are_one_list_of_settings():
    found = [(setting.name, setting.part) for setting in settings_of(Outer)]
    assert found == [("seeds", ""), ("shares", ""), ("max_cost", "inner"), ("cache", "inner")]
    assert build(Outer, {"max_cost": 2, "seed": 4}) == Outer(seeds=(4,), inner=Inner(max_cost=2.0))
    with pytest.raises(InputError, match="there is no setting 'round'; there are seeds, shares, max_cost, cache"):
        build(Outer, {"round": 1})


def copy(source: str, out: Path):
    return source, out


@pytest.mark.parametrize("line", ["a b", "a --out b", "a -o b"])
def test_a_required_target_is_an_option_or_the_second_argument(said, line):
    assert said(line, copy) == ("a", Path("b"))


@pytest.mark.parametrize("line", ["a", "a b --out b"])
def test_a_required_target_is_given_once(said, line):
    with pytest.raises(InputError, match="as the last argument or as --out"):
        said(line, copy)


@pytest.mark.parametrize(
    ("notes", "line"), [([], "stopped; rerun the same command to resume"), (["ended at 3"], "ended at 3")]
)
def test_ctrl_c_says_how_to_go_on(said, capsys, notes, line):
    def stopped(out: str = "") -> None:
        """Work for long."""
        error = KeyboardInterrupt()
        for note in notes:
            error.add_note(note)
        raise error

    done = said("", stopped)
    assert done.exit_code == 130
    assert line in capsys.readouterr().err + done.output
