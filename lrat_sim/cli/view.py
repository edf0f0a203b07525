"""Looking at what was run, in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lrat_sim.cli.app import TOOLS, app
from lrat_sim.cli.options import DATA, DataFolder
from lrat_sim.progress import say


@app.command(rich_help_panel=TOOLS)
def view(
    folder: Annotated[Path, typer.Argument(help="A run, a comparison, a flywheel, or any folder above them.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one and says which.")] = 8080,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    open_browser: Annotated[bool, typer.Option("--open", help="Open the browser, too.")] = False,
    corpus: Annotated[
        Path | None,
        typer.Option(help="A task set or corpus for titles and texts; by default the one near the runs."),
    ] = None,
    data: DataFolder = DATA,
) -> None:
    """Show trajectories in a browser: search, read, compare two retrievers, follow mined pairs."""
    from lrat_sim.viewer import view as serve

    def announce(url: str) -> None:
        say(f"showing {folder} at {url}; Ctrl-C stops it.")
        if open_browser:
            import webbrowser

            webbrowser.open(url)

    serve(folder, corpus=corpus, data=data, host=host, port=port, announce=announce)
