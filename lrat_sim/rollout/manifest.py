"""RUN/run.yaml: everything resolved that a run folder was made with."""

from __future__ import annotations

import os
import platform
import sys
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import yaml

from lrat_sim import __version__
from lrat_sim.agent.profile import HOW_SENT, AgentSettings
from lrat_sim.artifact import check_fingerprint, fingerprint, write_text
from lrat_sim.errors import InputError
from lrat_sim.keys import redact_all
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.index import INDEX, RUN, TASKS, TRAJECTORIES, read_manifest

_PARTS = ("litellm", "openai", "msgspec", "bm25s", "sentence-transformers", "torch", "tokenizers")


def check_manifest(folder: Path, agent: AgentSettings, retriever: Retriever, seed: int) -> None:
    """Refuses a run folder that was made with other settings; a new one is welcome.

    Raises:
        FingerprintMismatch: naming each setting that differs.
        InputError: it holds files of a run without a run.yaml, one that a later lrat-sim wrote, or one that cannot be
            read.
    """
    recorded = read_manifest(folder)
    if not (folder / RUN).exists():
        for name in (TRAJECTORIES, TASKS, INDEX):
            if (folder / name).exists() and (folder / name).stat().st_size:
                raise InputError(f"{folder} holds {name} but no {RUN}; choose another run folder.")
        return
    if not isinstance(recorded.get("settings"), dict) or not isinstance(recorded.get("calls"), list):
        raise InputError(f"{folder / RUN} lacks `settings` or `calls`; choose another run folder.")
    what, remedy = f"the run folder {folder}", "use the settings it was made with, or choose another run folder"
    current = _identity(agent, retriever, seed)
    check_fingerprint(what, _flat(recorded["settings"]), _flat(current["settings"]), remedy)
    # equal settings with another fingerprint: something else decides now, such as the tools' descriptions
    check_fingerprint(what, recorded["fingerprints"], current["fingerprints"], remedy)


def record_call(folder: Path, agent: AgentSettings, retriever: Retriever, seed: int, how: dict[str, Any]) -> None:
    """Writes run.yaml, or adds this call to the one that is there, with how its runs are made."""
    manifest = read_manifest(folder) or {"schema_version": 1, **_identity(agent, retriever, seed), "calls": []}
    versions = {"lrat-sim": __version__, "python": platform.python_version()}
    for part in _PARTS:
        with suppress(PackageNotFoundError):
            versions[part] = version(part)
    machine: dict[str, Any] = {"platform": platform.platform(), "processors": os.cpu_count()}
    if sys.platform != "win32" and "SC_PHYS_PAGES" in os.sysconf_names:
        machine["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1)
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    manifest["calls"].append({"started": started, **how, "versions": versions, "machine": machine})
    text = yaml.dump(redact_all(manifest), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    write_text(folder / RUN, text)


def _identity(agent: AgentSettings, retriever: Retriever, seed: int) -> dict[str, Any]:
    described = agent.describe()
    fingerprints = {"agent": described.pop("fingerprint"), "retriever": retriever.fingerprint}
    settings = {"agent": described, "retriever": retriever.describe(), "seed": seed}
    # as JSON gives it back, where a tuple is a list
    return {"fingerprints": fingerprints, "settings": msgspec.json.decode(msgspec.json.encode(settings))}


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name, those aside that do not decide an answer; a long text is its fingerprint."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if prefix == "agent." and key in HOW_SENT:
            continue
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = fingerprint(value) if isinstance(value, str) and len(value) > 80 else value
    return flat


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines, such as prompts, as they read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
