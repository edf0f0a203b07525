"""Rollouts against a provider that fails by a plan: nothing is lost, doubled, left hanging or wrongly counted."""

import time
from collections import Counter, defaultdict

import msgspec
import pytest
from pyarrow import parquet

from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.agent.tools import TOOLS
from lrat_sim.models.call import Retries
from lrat_sim.records import Task
from lrat_sim.rollout.index import read_trajectories

PROFILES = [
    "agentcpm-explore",
    "glm-4",
    "gpt-oss",
    "minimax-m2",
    "openai-responses",
    "openai-tools",
    "react-text",
    "tongyi-deepresearch",
    "webexplorer",
]
SEVERAL = [24, pytest.param(125, marks=pytest.mark.slow)]
"""Tasks of each profile: 1,000 in all in the slow tests."""


def agent_at(url, **changes):
    """An agent whose model is on loopback; a hang is noticed after two seconds."""
    usual = {"timeout": 2.0, "retries": Retries(attempts=4, seconds=30.0)}
    return AgentSettings(**{"model": "openai/glm-4", "base_url": url, **usual, **changes})


def profile_at(url, profile):
    """A profile whose model is on loopback, called by the profile's name through litellm's provider for it."""
    settings, usual = load_agent(profile), agent_at(url)
    changed = {field: getattr(usual, field) for field in ("base_url", "key_env", "timeout", "retries")}
    return msgspec.structs.replace(settings, model=f"{settings.model.partition('/')[0]}/{profile}", **changed)


def tasks_for(provider, numbers):
    return [Task(id=f"t{number}", question=provider.question(number)) for number in numbers]


def number_of(trajectory):
    return int(trajectory.task_id[1:])


def ended(trajectory):
    return trajectory.status, trajectory.end_reason, trajectory.answer


def by_task(requests):
    grouped = defaultdict(list)
    for request in requests:
        grouped[request["task"]].append(request)
    return grouped


def attempts_of(trajectory):
    """All that was tried for a run: status and whether it failed."""
    recorded = [(each.status, each.error is not None) for turn in trajectory.turns for each in turn.attempts]
    return recorded + [(each["status"], each["error"] is not None) for each in trajectory.extra.get("attempts", [])]


def tokens_served(requests):
    """What whole answers used, by the server's count; one that came too late and was asked for again counts once."""
    used = {request["conversation"]: request["usage"] for request in requests if request["usage"] is not None}
    return sum(usage["total_tokens"] for usage in used.values())


def check_attempts(trajectory, requests):
    """Every request that the server saw is recorded, with the status that it was answered with."""
    recorded = attempts_of(trajectory)
    # on a busy machine the time of an attempt may end before it is sent
    unsent = len(recorded) - len(requests)
    assert 0 <= unsent <= recorded.count((None, True))
    assert sum(failed for _, failed in recorded) - unsent == sum(request["fault"] is not None for request in requests)
    stated = Counter(request["status"] for request in requests if (request["status"] or 0) >= 400)
    assert not stated - Counter(status for status, _ in recorded)


def check_settings(trajectory, requests, provider):
    """What is recorded as sent is what the server saw, all of it."""
    agent = trajectory.agent
    body = {**agent["provider"], **agent["provider"].get("extra_body", {})}
    tools = TOOLS
    sent = {key: value for key, value in {**trajectory.extra["sampling"], **body}.items() if key != "extra_body"}
    if agent.get("api") == "responses":
        sent = {"max_output_tokens" if name == "max_tokens" else name: value for name, value in sent.items()}
        tools = [{"type": "function", **tool["function"], "strict": False} for tool in TOOLS]
    for request in requests:
        seen = dict(request["parameters"])
        if seen.pop("tool_choice", None) is not None:
            assert request["tools"] is not None
        assert seen == sent
        assert request["tools"] == (provider.fingerprint(tools) if agent["protocol"] == "tools" else None)
        assert request["model"] == agent["model"].partition("/")[2]


@pytest.mark.parametrize("count", SEVERAL)
@pytest.mark.parametrize("profile", PROFILES)
def test_no_task_is_lost_doubled_or_wrongly_counted_at_20_percent_faults(
    rollout, profile, count, provider, tmp_path, monkeypatch
):
    for key in ("ZAI_API_KEY", "MINIMAX_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(key, "none")
    log, run = tmp_path / "requests.jsonl", tmp_path / "run"
    numbers = range(count * PROFILES.index(profile), count * (PROFILES.index(profile) + 1))
    with provider.Provider(log, seed=3, faults=0.2, fates=0.08) as failing:
        agent, tasks, plan = profile_at(failing.url, profile), tasks_for(provider, numbers), failing.plan
        summary = rollout(tasks, agent, run, concurrency=32)
        requests = list(failing.requests())
    tried = {*provider.PASSING} & {request["fault"] for request in requests}
    assert len(tried) == len({*provider.PASSING}) or (count < 125 and len(tried) > 2), "some faults were not tried"
    first = list(read_trajectories(run))
    assert sorted(map(number_of, first)) == list(numbers), "a task was lost or doubled"
    assert {number_of(each): ended(each) for each in first} == {n: plan.outcome(n) for n in numbers}
    assert (summary.answered, summary.unanswered, summary.errors) == tuple(
        sum(each.status == status for each in first) for status in ("answered", "unanswered", "error")
    )
    bodies = defaultdict(set)  # a retry sends what the first attempt sent; what did not fit is asked again in short
    for request in requests:
        if request["fault"] != "overflow":
            bodies[request["conversation"]].add(request["body"])
    assert all(len(each) == 1 for each in bodies.values())
    seen = by_task(requests)
    for trajectory in first:
        check_attempts(trajectory, seen[number_of(trajectory)])
        check_settings(trajectory, seen[number_of(trajectory)], provider)
        if profile not in provider.shapes.SILENT:
            said = [turn.reasoning.strip() for turn in trajectory.turns]
            assert said == [provider.thought(number_of(trajectory), turn) for turn in range(len(said))]
        assert trajectory.usage.tokens == tokens_served(seen[number_of(trajectory)])
    assert summary.tokens == tokens_served(requests)

    with provider.Provider(log, port=failing.port, seed=3) as healed:
        summary = rollout(tasks, agent, run, concurrency=32)
        later = list(healed.requests())[len(requests) :]
    broken = {number_of(each) for each in first if each.status == "error"}
    assert broken or count < 125, "every task healed"
    assert (summary.reused, summary.ran, summary.errors) == (count - len(broken), len(broken), 0)
    assert {request["task"] for request in later} == broken, "a finished task was called again"
    final = {number_of(each): ended(each) for each in read_trajectories(run)}
    assert final == {n: (healed.plan if n in broken else plan).outcome(n) for n in numbers}
    rows = parquet.read_table(run / "index.parquet").to_pylist()
    assert sorted((int(row["task_id"][1:]), row["status"]) for row in rows) == sorted(
        (number, status) for number, (status, _, _) in final.items()
    )


def test_a_retry_waits_as_long_as_the_server_asks(rollout, provider, tmp_path):
    with provider.Provider(tmp_path / "log", faults=0.3, kinds="429-after") as limited:
        agent = agent_at(limited.url)
        summary = rollout(tasks_for(provider, range(10)), agent, tmp_path / "run")
        requests = list(limited.requests())
    assert summary.errors == 0
    refused = {(each["conversation"], each["attempt"]): each["at"] for each in requests if each["status"] == 429}
    again = {(each["conversation"], each["attempt"] - 1): each["at"] for each in requests if each["attempt"]}
    assert len(refused) > 2
    assert all(again[which] - at > provider.RETRY_AFTER - 0.01 for which, at in refused.items())


def test_an_outage_ends_soon_as_errors_that_the_same_call_picks_up(rollout, provider, tmp_path):
    log, run, count = tmp_path / "requests.jsonl", tmp_path / "run", 80
    tasks, retries = tasks_for(provider, range(count)), Retries(attempts=3, seconds=5.0)
    with provider.Provider(log, seed=5, latency=0.02) as server:
        agent = agent_at(server.url, retries=retries)

        def pull_the_plug(done, *_):
            if done == count // 4:
                server.process.kill()

        began = time.monotonic()
        summary = rollout(tasks, agent, run, concurrency=16, progress=pull_the_plug)
        assert time.monotonic() - began < 600
    assert summary.errors + summary.answered + summary.unanswered == count
    assert summary.errors > count // 4
    broken = {number_of(each) for each in read_trajectories(run) if each.status == "error"}
    assert {each.error.boundary for each in read_trajectories(run) if each.status == "error"} == {"model"}
    before = log.stat().st_size
    with provider.Provider(log, port=server.port, seed=5) as back:
        summary = rollout(tasks, agent, run, concurrency=16)
        assert {request["task"] for request in back.requests(before)} == broken
    assert summary.errors == 0
    assert {number_of(each): ended(each) for each in read_trajectories(run)} == {
        number: back.plan.outcome(number) for number in range(count)
    }


def test_the_plan_of_faults_holds_every_fate(provider):
    plan = provider.Plan(seed=3, fates=0.08)
    fates = Counter(plan.fate(number) for number in range(1000))
    assert all(fates[fate] > 5 for fate in provider.FATES)


def second_half(requests):
    return requests[len(requests) // 2 :]


@pytest.mark.slow
def test_the_limit_of_calls_settles_near_what_the_server_allows(rollout, provider, tmp_path):
    allowed, refused = 8, {}
    for adaptive in (True, False):
        folder = tmp_path / str(adaptive)
        folder.mkdir()
        with provider.Provider(folder / "log", latency=0.1, capacity=allowed) as server:
            agent = agent_at(server.url, retries=Retries(attempts=30, seconds=120.0))
            tasks = tasks_for(provider, range(80))
            summary = rollout(tasks, agent, folder / "run", concurrency=40, adaptive=adaptive)
            requests = list(server.requests())
        assert summary.errors == 0
        assert summary.ran == 80
        late = second_half(requests)
        refused[adaptive] = sum(request["status"] == 429 for request in late) / len(late)
        if adaptive:
            served = [request["in_flight"] for request in late]
            assert allowed / 2 < sum(served) / len(served) < allowed * 1.5
    assert refused[True] < 0.25
    assert refused[True] < refused[False] / 2


def test_server_errors_do_not_shrink_the_limit_of_calls(rollout, provider, tmp_path):
    with provider.Provider(tmp_path / "log", seed=2, faults=0.3, kinds="500,503", latency=0.2) as server:
        agent = agent_at(server.url)
        summary = rollout(tasks_for(provider, range(120)), agent, tmp_path / "run", concurrency=20)
        requests = list(server.requests())
    assert summary.errors == 0
    assert max(request["in_flight"] for request in requests) == 20
    late = second_half(requests)[: len(requests) // 4]  # before the last runs leave places free
    assert sum(request["fault"] is not None for request in late) > 0.2 * len(late)
    assert max(request["in_flight"] for request in late) >= 18
