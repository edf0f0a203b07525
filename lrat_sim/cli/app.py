"""The application that the commands join, and its entry point."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from lrat_sim import __version__
from lrat_sim.artifact import command_line
from lrat_sim.cli.commands import COMMANDS
from lrat_sim.cli.generate import command, summary_of

_LONGEST_SENTENCE = 2000
"""Characters of a message: one may quote an id or a setting of any length."""


def build(wanted: Iterable[str] = COMMANDS) -> typer.Typer:
    """The application, with the options of the ``wanted`` commands; of the others help names only what they do, so that
    the settings of one command are not imported for another."""
    app = typer.Typer(
        name="lrat-sim",
        help="Learning to retrieve from agent trajectories: run search agents, mine what helped them, train a "
        "retriever, run again.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, entry in COMMANDS.items():
        function: Callable[..., None] = entry.verb
        if name not in wanted:
            function = lambda: None  # noqa: E731  # its help is all that is shown
        elif entry.show is not None:
            function = command(entry.verb, entry.show, extra=entry.extra)
        how: dict[str, Any] = {"rich_help_panel": entry.panel, "epilog": f"Example: lrat-sim {entry.example}"}
        app.command(name, help=summary_of(entry.verb), **how)(function)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"lrat-sim {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Options of no command."""


def main() -> None:
    """The entry point: bad input and a full disk end with a sentence and exit code 2, work of which nothing came with a
    sentence and 1, Ctrl-C and SIGTERM with 130."""
    from lrat_sim.artifact import disk_fault
    from lrat_sim.errors import InputError, LratSimError, NothingCame
    from lrat_sim.keys import mask, read_environment
    from lrat_sim.progress import console

    arguments = sys.argv[1:]
    read_environment()
    warnings.showwarning = lambda message, *_, **__: console.print(f"warning: {message}", soft_wrap=True)
    try:
        for argument in arguments:  # which are recorded, names of files among them, and a record is UTF-8
            if argument.encode(errors="replace").decode() != argument:
                raise InputError(f"the argument {argument!r} is not UTF-8; rename the file, or write it in UTF-8.")
        command_line.set(shlex.join(["lrat-sim", *arguments]))
        app = build(arguments[:1])
        with _interrupted_by_sigterm():
            sys.exit(app(args=arguments or ["--help"], prog_name="lrat-sim", standalone_mode=False))
    except LratSimError as error:
        message, code = str(error), 1 if isinstance(error, NothingCame) else 2
    except _WrongUsage as error:
        message, code = _usage(error), 2
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if (fault := disk_fault(error)) is None:  # a defect of lrat-sim
            console.print(traceback.format_exc(), soft_wrap=True)
            sys.exit(1)
        remedy = "free some space or fix its permissions, then rerun the same command; finished work is kept."
        file = getattr(error, "filename", None) or "a file"
        message, code = f"{file} cannot be read or written ({fault}); {remedy}", 2
    finally:
        command_line.set(None)  # what the same process does next is not of this command
    said = mask(" ".join(message.split()))
    if len(said) > _LONGEST_SENTENCE:
        said = f"{said[: _LONGEST_SENTENCE // 2]} … {said[-_LONGEST_SENTENCE // 2 :]}"
    console.print(f"lrat-sim: {said}", soft_wrap=True)
    sys.exit(code)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """A context in which SIGTERM, by which schedulers end a job, does what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # signals arrive nowhere else
        yield
        return
    on_sigint = signal.getsignal(signal.SIGINT)
    if on_sigint is signal.SIG_IGN:  # as in the background of a script; SIGTERM would do nothing
        signal.signal(signal.SIGINT, signal.default_int_handler)
    on_sigterm = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)
        signal.signal(signal.SIGINT, on_sigint)


_WrongUsage: type[Exception] = typer.BadParameter.mro()[1]
"""What typer raises for a command line that it cannot read; it has no public name for it."""


def _usage(error: Exception) -> str:
    """The sentence, with where to look; typer would frame it in several lines."""
    context = getattr(error, "ctx", None)
    name = context.command_path if context is not None else "lrat-sim"
    said = getattr(error, "format_message", error.__str__)()
    return f"{said[:1].lower()}{said[1:].rstrip('.')}; see {name} --help."
