"""Runs the commands of a page of this documentation, in order, in an empty folder.

    python docs/record.py docs/tutorial.md            runs them, and says what failed
    python docs/record.py docs/tutorial.md --write    and puts what they print into the page

A block of ``sh`` is run command by command as it stands; a block of ``text`` right after it is what its last command
prints on standard output.  A block after the comment ``<!-- not run: why -->`` is left out: it needs a key, a GPU or a
second terminal.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"(?ms)^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<body>.*?)^(?P=indent)```$")
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\s*$")


class Block(NamedTuple):
    """A fenced block of a page: its language, its text, why it is not run (or None), and where its text stands."""

    language: str
    text: str
    not_run: str | None
    start: int
    end: int


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order, without their indentation."""
    for found in FENCE.finditer(page):
        why = NOT_RUN.search(page[: found.start()])
        text = re.sub(rf"(?m)^{found['indent']}", "", found["body"])
        yield Block(found["language"], text, why and why[1], found.start("body"), found.end("body"))


def commands(text: str) -> list[str]:
    """The commands of a block of ``sh``: its lines, those that end in a backslash joined, without comments."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [re.sub(r"\s+#.*$", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def run(command: str, folder: Path) -> str:
    """What a command prints on standard output, with the programs of this Python's environment.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "80", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


def recorded(page: str, folder: Path) -> str:
    """The page with what its commands print now.

    Args:
        page: in Markdown.
        folder: where the commands run.

    Raises:
        subprocess.CalledProcessError: a command fails.
    """
    printed: str | None = None
    parts, at = [], 0
    for block in blocks(page):
        if block.language == "sh":
            printed = None
            for command in commands(block.text) if block.not_run is None else ():
                print(f"$ {command}", file=sys.stderr, flush=True)
                printed = run(command, folder)
        elif block.language == "text" and printed is not None:
            shown = "\n".join(line.rstrip() for line in printed.splitlines()).strip("\n")
            parts += [page[at : block.start], shown + "\n"]
            at, printed = block.end, None
    return "".join([*parts, page[at:]])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="put what the commands print into the page")
    options = parser.parse_args()
    for path in options.pages:
        with tempfile.TemporaryDirectory() as folder:
            try:
                page = recorded(path.read_text(encoding="utf-8"), Path(folder))
            except subprocess.CalledProcessError as error:
                sys.exit(f"{path}: {error.cmd}\n{error.stdout}{error.stderr}")
        if options.write:
            path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
