"""lrat-sim: learning to retrieve from agent trajectories.

Run search agents against any retriever, record every step, mine which documents helped, train a retriever on
that, and run the agents again::

    import lrat_sim as ls

    data = ls.prepare("world")
    run = ls.rollout(data, agent="simulated", retriever="bm25", split="train")
    pairs = ls.mine(run)
    model = ls.train(pairs)
    print(ls.compare({"base": "dense", "trained": model}, data, agent="simulated").answer)

Importing this package loads nothing else; a name is imported when it is first used.
"""

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

# OpenMP reads this once, when torch loads it: threads that spin while they wait make training and encoding several
# times slower as soon as anything else runs on the same cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# the stub beside this file is the only list of what is public, for type checkers and for the import below
_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOME = {name: home for home, name in re.findall(r"^from (\S+) import (\w+) as", _STUB, re.MULTILINE)}

__all__ = sorted(_HOME)


class _Face(ModuleType):
    """The package as users see it: a verb goes before the room of the same name (``rollout``, ``report``), which Python
    would put in its place as soon as anything imports that room."""

    def __getattribute__(self, name: str) -> Any:
        home = _HOME.get(name)
        return super().__getattribute__(name) if home is None else getattr(import_module(home), name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *__all__]


sys.modules[__name__].__class__ = _Face
