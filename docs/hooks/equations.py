"""Equations: a fence ``math`` holds TeX, which matplotlib's mathtext draws as an SVG path in the colour of the text.

No font, script or style sheet is fetched for it.  The fence's ``label`` says the equation in words, for who cannot see
it; the TeX itself stands in for it where there is none.
"""

from __future__ import annotations

import html
from typing import Any

import matplotlib
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

matplotlib.rcParams["mathtext.fontset"] = "stix"
_SIZE = 20.0
"""Points an em while drawing; the SVG is scaled to the text by em."""
_COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


def svg(tex: str, label: str) -> str:
    """One line of TeX as an inline SVG."""
    path = TextPath((0, 0), f"${tex}$", size=_SIZE, prop=FontProperties(family="STIXGeneral"))
    box = path.get_extents()
    drawn = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        command = _COMMANDS[code]
        numbers = " ".join(f"{x:.2f} {-y:.2f}" for x, y in points.reshape(-1, 2)) if command != "Z" else ""
        drawn.append(f"{command}{numbers}")
    view = f"{box.x0 - 1:.1f} {-box.y1 - 1:.1f} {box.width + 2:.1f} {box.height + 2:.1f}"
    return (
        f'<svg class="equation" role="img" aria-label="{html.escape(label)}" viewBox="{view}" '
        f'style="width:{(box.width + 2) / _SIZE * 1.15:.2f}em"><path fill="currentColor" d="{"".join(drawn)}"/></svg>'
    )


def _validate(language: str, inputs: dict[str, str], options: dict[str, Any], attributes: Any, md: Any) -> bool:
    options.update(inputs)
    return True


def _fence(source: str, language: str, css_class: str, options: dict[str, Any], md: Any, **_: Any) -> str:
    """One equation a line of the fence."""
    lines = [line for line in source.splitlines() if line.strip()]
    label = options.get("label") or source
    drawn = [svg(line, label if place == 0 else line) for place, line in enumerate(lines)]
    return '<div class="equations">' + "".join(f"<div>{each}</div>" for each in drawn) + "</div>"


def on_config(config: Any) -> Any:
    """Adds the fence to those of the site."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "math", "format": _fence, "validator": _validate})
    return config
