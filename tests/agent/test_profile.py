import msgspec
import pytest

from lrat_sim import catalog
from lrat_sim.agent.profile import AgentSettings, Limits, Sampling, load_agent
from lrat_sim.agent.tools import TOOLS
from lrat_sim.errors import InputError, UnknownName
from lrat_sim.text import TOKENIZER


def test_a_profile_is_loaded_by_name_with_single_fields_overridden():
    agent = load_agent("openai-tools", {"limits.k": "5", "model": "openai/other"})
    assert (agent.name, agent.model, agent.limits.k, agent.limits.turns) == ("openai-tools", "openai/other", 5, 50)
    assert agent.sampling == Sampling(temperature=0.85, top_p=0.95, presence_penalty=1.1, seed=2025)


def test_a_profile_is_a_file_that_a_user_writes(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model: openai/m\nlimits: {k: 3}\n")
    assert load_agent(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"limits.k": 0}, "limits.k"),
        ({"limits.turns": "many"}, "limits.turns"),
        ({"limits.turns": 10**400}, "limits.turns"),
        ({"limits.document_tokens": 10**9}, "limits.document_tokens"),
        ({"limits.seconds": float("nan")}, "limits.seconds"),
        ({"limits.cost": float("inf")}, "limits.cost"),
        ({"timeout": 1e300}, "timeout"),
        ({"retries.attempts": 10**12}, "retries.attempts"),
        ({"retries.seconds": float("nan")}, "retries.seconds"),
        ({"sampling.seed": 10**30}, "sampling.seed"),
        ({"sampling.temperature": 3}, "sampling.temperature"),
        ({"protocol": "telepathy"}, "protocol"),
        ({"tempreature": 1}, "tempreature"),
        ({"simulation": {}}, "simulation"),
        ({"provider.api_key": "sk-1"}, "provider.api_key"),
        ({"provider.extra_headers": {}}, "provider.extra_headers"),
        ({"base_url": "http://me:secret@host/v1"}, "base_url"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(overrides, named):
    with pytest.raises(InputError, match=named.replace(".", r"\.")):
        load_agent("openai-tools", overrides)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"limits": {"k": 0}}, r"limits\.k"),
        ({"model": "sim/m", "simulation": {"patience": -1}}, "patience"),
        ({"model": "sim/m", "protocol": "tagged"}, "sim/ speaks protocol tools, not tagged"),
        ({"prompt": "no-such-prompt"}, "no-such-prompt"),
    ],
)
def test_settings_made_in_a_script_are_checked_too(settings, said):
    with pytest.raises((InputError, UnknownName), match=said):
        AgentSettings(**{"model": "openai/m", **settings}).resolved()
    with pytest.raises(InputError, match="k is 0"):
        Limits(k=0)


def test_the_fingerprint_holds_what_decides_behaviour():
    def identity(**changed):
        return AgentSettings(**{"model": "openai/m", **changed}).describe()["fingerprint"]

    decisive = [
        {"model": "openai/n"},
        {"prompt": "Find it.\n"},
        {"answer_prompt": "Now.\n"},
        {"sampling": Sampling(temperature=0.0)},
        {"limits": Limits(k=5)},
        {"base_url": "http://localhost/v1"},
        {"pass_reasoning": "inline"},
        {"window": 4096},
        {"protocol": "tagged", "prompt": "Find it: {tools}\n"},
        {"protocol": "react", "prompt": "Find it: {tools}\n"},
        {"sampling": Sampling(stop=["END"])},
        {"provider": {"reasoning_effort": "high"}},
    ]
    assert len({identity(), *(identity(**changed) for changed in decisive)}) == len(decisive) + 1
    for changed in ({"name": "other"}, {"timeout": 5.0}, {"key_env": "KEY"}):
        assert identity(**changed) == identity()


def test_the_fingerprint_holds_what_a_protocol_tells_the_model(monkeypatch):
    agent = AgentSettings(model="openai/m", protocol="tagged", prompt="Find it: {tools}\n")
    before = agent.describe()["fingerprint"]
    monkeypatch.setattr("lrat_sim.agent.protocols.tagged.Tagged.reminder", "Once more, please.")
    assert agent.describe()["fingerprint"] != before
    monkeypatch.undo()
    assert agent.describe()["fingerprint"] == before
    monkeypatch.setattr("lrat_sim.agent.profile.ESCAPE_RULES", ("another",))
    assert agent.describe()["fingerprint"] != before


def test_a_description_is_enough_to_rebuild_the_agent():
    agent = AgentSettings(model="sim/m", name="s", limits=Limits(k=3))
    described = agent.describe()
    identity, tokenizer = described.pop("fingerprint"), described.pop("tokenizer")
    rebuilt = msgspec.convert(described, AgentSettings)
    assert (rebuilt.describe()["fingerprint"], tokenizer) == (identity, TOKENIZER)
    assert "research" in described["prompt"]
    assert described["simulation"]["patience"] > 0


def test_samples_and_seeds_of_a_run_are_drawn_differently():
    sent = {Sampling().sent(sample=sample, seed=seed)["seed"] for sample in range(4) for seed in range(3)}
    assert len(sent) == 12
    usual = {"temperature": 0.85, "top_p": 0.95, "presence_penalty": 1.1, "seed": 2025}
    assert Sampling().sent(sample=0, seed=0) == usual
    assert Sampling(stop=["b", "a"]).sent(sample=0, seed=0, stop=("a", "c"))["stop"] == ["a", "c", "b"]
    assert Sampling(temperature=None, seed=None, top_p=None, presence_penalty=None).sent(sample=1, seed=1) == {}


def test_a_prompt_describes_the_tools_where_its_protocol_needs_it():
    for protocol in ("tagged", "react"):
        agent = AgentSettings(model="openai/m", protocol=protocol, prompt="Find it.\n{tools}\n").resolved()
        assert "{tools}" not in agent.prompt
        assert all(tool["function"]["description"] in agent.prompt for tool in TOOLS)
        assert agent.resolved() == agent
        with pytest.raises(InputError, match=r"lacks the slot \{tools\}, where protocol " + protocol):
            AgentSettings(model="openai/m", protocol=protocol, prompt="Find it.\n").resolved()
    native = AgentSettings(model="openai/m", prompt="Find it in {tools}.\n").resolved()
    assert native.prompt.startswith("Find it in - search(query): the best documents"), "it may describe them, too"
    assert AgentSettings(model="openai/m", prompt="Find it.\n").resolved().prompt == "Find it.\n"


def test_a_bare_no_of_yaml_is_the_setting_no(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model: openai/m\npass_reasoning: no\n")
    assert load_agent(str(path)).pass_reasoning == "no"
    assert load_agent(str(path), {"pass_reasoning": "inline"}).pass_reasoning == "inline"


SETTINGS = {  # tools, k, snippet and document tokens, turns
    "lrat": (("search", "get_document"), 10, 64, 512, 50),
    "iter": (("search", "get_document"), 10, 64, 512, 50),
    "iter-collect": (("deduplicated_search", "get_document"), 10, 64, 512, 50),
    "agentir": (("search", "get_document"), 5, 512, 6000, 100),
    "agentir-search": (("search",), 5, 512, 512, 100),
    "browsecomp-plus": (("search",), 5, 512, 512, 100),
    "browsecomp-plus-documents": (("search", "get_document"), 5, 512, 1_000_000, 100),
    "search-r1": (("passages",), 3, 64, 512, 50),
}


def test_every_published_setting_has_a_case():
    files = [name for name in catalog.names("recipes") if name.startswith("setting-")]
    assert files == sorted(f"setting-{name}" for name in SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("profile", ["tongyi-deepresearch", "gpt-oss", "openai-tools", "react-text"])
def test_a_published_setting_is_laid_over_any_profile(profile, name):
    plain, agent = load_agent(profile), load_agent(f"{profile}+{name}")
    limits = agent.limits
    shown = (agent.tools, limits.k, limits.snippet_tokens, limits.document_tokens, limits.turns)
    assert shown == SETTINGS[name]
    assert agent.name == f"{profile}+{name}"
    assert (agent.model, agent.protocol, agent.prompt, agent.base_url) == (
        plain.model, plain.protocol, plain.prompt, plain.base_url
    )  # fmt: skip
    assert agent.list_queries == ("each" if name.startswith("agentir") else "first")
    own = {"iter": 0.6, "iter-collect": 0.85}
    assert agent.sampling.temperature == own.get(name, plain.sampling.temperature)
    assert agent.window == (100_000 if name == "lrat" else plain.window)


def test_options_go_before_a_setting_and_an_unknown_one_is_refused():
    assert load_agent("openai-tools+lrat:limits.k=3").limits.k == 3
    assert load_agent("mine=openai-tools+lrat", {"limits.k": 4}).limits.k == 4
    assert load_agent("mine=openai-tools+lrat").name == "mine"
    with pytest.raises(UnknownName, match="setting-nosuch"):
        load_agent("openai-tools+nosuch")
    with pytest.raises(InputError, match="the simulated agent uses search and get_document"):
        load_agent("simulated+browsecomp-plus")
    assert load_agent("simulated+lrat").limits.k == 10
