"""``run.yaml`` of a flywheel: what it was begun with, and the refusal of a folder that was begun otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from lrat_sim import __version__, catalog
from lrat_sim.artifact import check_fingerprint, write_text
from lrat_sim.errors import InputError
from lrat_sim.flywheel.rounds import ROUNDS
from lrat_sim.flywheel.settings import FlywheelSettings, Rule
from lrat_sim.keys import redact_all

RUN = "run.yaml"
_GROWING = ("rounds", "evaluate_k", "evaluate_splits", "baselines", "train_tasks", "test_tasks", "calls", "patience")
"""Settings that only add to what is there."""

_OF_ITS_OWN = ("guard", "gate", "gate_split", "gate_tasks")
"""The guard only measures; the gate's are looked at together."""

_LATER = ("collect_with", "train_from", "replay")
"""Recorded where they are not the default, so that a folder from before they existed is still known."""


def begun_with(folder: Path) -> tuple[dict[str, Any], Rule | None, int]:
    """What decided the flywheel in a folder, the rule of its gate, and its rounds; nothing where there is none yet.

    Raises:
        InputError: the folder is that of something else.
    """
    path = folder / RUN
    if not path.exists():
        if (folder / ROUNDS).exists():
            raise InputError(f"{folder} holds {ROUNDS} but no {RUN}; choose another --out folder.")
        return {}, None, 0
    recorded = catalog.read_yaml(path)
    decisive, settings = recorded.get("decisive"), recorded.get("settings")
    if not isinstance(decisive, dict) or not isinstance(settings, dict):
        raise InputError(f"{path} is not of a flywheel; choose another --out folder.")
    return decisive, (decisive.get("gate") or {}).get("rule"), int(settings.get("rounds", 1))


def decisive(settings: FlywheelSettings, gate: dict[str, Any] | None, **made_from: Any) -> dict[str, Any]:
    """What decides a flywheel's models, for :func:`refuse_other`.

    Args:
        settings: all of them.
        gate: its rule and the fingerprint of its tasks; None without one.
        made_from: fingerprints and resolved recipes.
    """
    usual = FlywheelSettings()
    given = {
        key: value
        for key, value in msgspec.to_builtins(settings).items()
        if key not in (*_GROWING, *_OF_ITS_OWN)
        and not (key in _LATER and value == msgspec.to_builtins(getattr(usual, key)))
    }
    if settings.train_from == "base":
        given.pop("replay", None)  # nothing is left to replay
    for key in ("agent_options", "mining_options", "training_options"):  # texts, where the command line gave them
        given[key] = {
            field: catalog.parse_yaml(value, f"{field}={value[:80]} is not a YAML value", "put quotes around it")
            if isinstance(value, str)
            else value
            for field, value in given[key].items()
        }
    return {**given, **made_from, **({"gate": gate} if gate else {})}


def refuse_other(folder: Path, wanted: dict[str, Any]) -> None:
    """Refuses a folder whose flywheel had other settings.

    More rounds, more tasks, more values of k or another way to send calls only add to what is there.  A single round
    may be gated later, since nothing was made after it.

    Raises:
        FingerprintMismatch: naming each setting that differs.
    """
    recorded, rule, rounds = begun_with(folder)
    if not recorded:
        return
    if rule is None and rounds == 1:
        wanted = {key: value for key, value in wanted.items() if key != "gate"}
    check_fingerprint(f"the flywheel in {folder}", recorded, wanted, "choose another --out folder")


def claim(folder: Path, settings: FlywheelSettings, wanted: dict[str, Any], command: str | None = None) -> None:
    """Writes run.yaml; a command line that is recorded there stays where none is given."""
    path = folder / RUN
    command = command or (catalog.read_yaml(path).get("command") if path.exists() else None)
    content = {"lrat_sim": __version__, **({"command": command} if command else {})}
    content |= {"settings": msgspec.to_builtins(settings), "decisive": wanted}
    write_text(path, yaml.safe_dump(redact_all(content), sort_keys=False, allow_unicode=True))
