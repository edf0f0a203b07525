"""What the package imports of others: declared dependencies, by their public parts alone."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]


def imported(package: Path) -> set[str]:
    """The dotted names that the package imports of others, wherever in its files: ``a.b`` and ``a.b.name``."""
    names: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    own = {"lrat_sim", *sys.stdlib_module_names}
    return {name for name in names if name.partition(".")[0] not in own}


def canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    return {canonical(re.match(r"[\w.-]+", requirement)[0]) for requirement in wanted}


def test_nothing_private_of_a_dependency_is_imported():
    private = [name for name in imported(ROOT / "lrat_sim") if any(part.startswith("_") for part in name.split("."))]
    assert private == []


def test_of_litellm_only_its_top_level_is_imported():
    used = {name for name in imported(ROOT / "lrat_sim") if name.split(".")[0] == "litellm"}
    assert used
    assert {name for name in used if name.count(".") > 1} == set()


def test_what_is_imported_is_declared():
    distributions, known = packages_distributions(), declared()
    tops = {name.partition(".")[0] for name in imported(ROOT / "lrat_sim")}
    missing = {
        top for top in tops if not known & {canonical(each) for each in distributions.get(top, [top, f"{top}-cpu"])}
    }
    assert missing == set()
