"""RUN/run.yaml: everything resolved that a run folder was made with."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from lrat_sim import __version__
from lrat_sim.agent.profile import HOW_SENT, AgentSettings
from lrat_sim.artifact import check_fingerprint, check_version, fingerprint, write_text
from lrat_sim.catalog import dump_yaml, read_yaml
from lrat_sim.errors import InputError
from lrat_sim.keys import redact_all
from lrat_sim.retrieval.base import Retriever
from lrat_sim.rollout.calls import CallOptions
from lrat_sim.rollout.index import INDEX, RUN, TASKS, TRAJECTORIES

_PARTS = ("litellm", "openai", "msgspec", "bm25s", "sentence-transformers", "torch", "tokenizers")


def check_manifest(folder: Path, agent: AgentSettings, retriever: Retriever, seed: int) -> None:
    """Refuses a run folder that was made with other settings; a new one is welcome.

    Raises:
        FingerprintMismatch: naming each setting that differs.
        InputError: it holds files of a run without a run.yaml, one that a later lrat-sim wrote, or one that cannot be
            read.
    """
    path = folder / RUN
    if not path.exists():
        for name in (TRAJECTORIES, TASKS, INDEX):
            if (folder / name).exists() and (folder / name).stat().st_size:
                raise InputError(f"{folder} holds {name} but no {RUN}; choose another run folder.")
        return
    recorded = read_yaml(path)
    check_version(path, recorded.get("schema_version", 1))
    if not isinstance(recorded.get("settings"), dict) or not isinstance(recorded.get("calls"), list):
        raise InputError(f"{path} lacks `settings` or `calls`; choose another run folder.")
    what, remedy = f"the run folder {folder}", "use the settings it was made with, or choose another run folder"
    check_fingerprint(what, _flat(recorded["settings"]), _flat(_settings(agent, retriever, seed)), remedy)
    # equal settings with another fingerprint: something else decides now, such as the tools' descriptions
    check_fingerprint(what, recorded["fingerprints"], _fingerprints(agent, retriever), remedy)


def record_call(
    folder: Path,
    agent: AgentSettings,
    retriever: Retriever,
    seed: int,
    *,
    samples: int,
    calls: CallOptions,
    runs: int,
) -> None:
    """Writes run.yaml, or adds this call, which is to run ``runs`` trajectories, to the one that is there."""
    path = folder / RUN
    manifest: dict[str, Any] = (
        read_yaml(path)
        if path.exists()
        else {
            "schema_version": 1,
            "fingerprints": _fingerprints(agent, retriever),
            "settings": _settings(agent, retriever, seed),
            "calls": [],
        }
    )
    called = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "runs": runs,
        "samples": samples,
        **msgspec.to_builtins(calls),
        "versions": _versions(),
        "machine": _machine(),
    }
    manifest["calls"].append(called)
    write_text(path, dump_yaml(redact_all(manifest)))


def _settings(agent: AgentSettings, retriever: Retriever, seed: int) -> dict[str, Any]:
    described = {key: value for key, value in agent.describe().items() if key != "fingerprint"}
    plain: dict[str, Any] = _plain({"agent": described, "retriever": retriever.describe(), "seed": seed})
    return plain


def _fingerprints(agent: AgentSettings, retriever: Retriever) -> dict[str, str]:
    return {"agent": agent.describe()["fingerprint"], "retriever": retriever.fingerprint}


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


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


def _versions() -> dict[str, str]:
    found = {"lrat-sim": __version__, "python": platform.python_version()}
    for part in _PARTS:
        try:
            found[part] = version(part)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    machine: dict[str, Any] = {"platform": platform.platform(), "processors": os.cpu_count()}
    if sys.platform != "win32" and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        machine["memory_gib"] = round(memory / (1 << 30), 1)
    return machine
