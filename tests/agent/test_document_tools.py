"""Each tool that a profile can list, through the real loop; and tools of one's own."""

import json
import shutil
from pathlib import Path

import pytest

from lrat_sim.agent.profile import AgentSettings, load_agent
from lrat_sim.agent.tool import Tool, ToolRefusal, ToolResult, declarations, known_tools, open_tools
from lrat_sim.errors import InputError, UnknownName
from lrat_sim.formats.entry import Entry
from lrat_sim.formats.openai import record_of
from lrat_sim.grading.metrics import measure
from lrat_sim.mining.episodes import episodes
from lrat_sim.mining.pairs import BrowseVerdict, PairAssembler, label
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.records import Document, Task

LONG = Document(
    id="9",
    title="Quay Chronicle",
    text=" ".join(f"Entry {number} speaks of the tides and of ropes." for number in range(40))
    + " The bell was cast by Ada Voss. "
    + " ".join(f"Entry {number} speaks of the tides and of sails." for number in range(40, 80)),
)
FINAL = "Exact Answer: Thornmouth"
ALL = ["search", "get_document", "get_section", "find_in_document"]


def ran(voice, scripted, *asked, documents=None, **settings):
    """The calls of a run that makes one call a turn, and the requests."""
    turns = [scripted.calls(call, reasoning=f"Thought {number}.") for number, call in enumerate(asked)]
    retriever = scripted.Tiny(documents or [*scripted.DOCUMENTS, LONG])
    run, requests = voice(
        *turns,
        scripted.says(FINAL, "Done."),
        retriever=retriever,
        limits={"turns": 20, **settings.pop("limits", {})},
        **settings,
    )
    assert run.error is None, run.error
    return run, requests


def ids(call):
    return [(hit.docid, hit.rank) for hit in call.hits]


# --- search without what was shown ------------------------------------------------------------------------------------


def test_a_deduplicated_search_leaves_out_what_was_shown_and_the_next_results_move_up(voice, scripted):
    tools = ["deduplicated_search", "get_document"]
    query = ("search", {"query": "Brindle Lighthouse"})
    run, requests = ran(voice, scripted, query, query, query, query, tools=tools, documents=scripted.DOCUMENTS)
    first, second, third, _ = run.calls()
    assert [ids(call) for call in (first, second, third)] == [[("1", 1), ("4", 2)], [("2", 1), ("3", 2)], []]
    assert "Left out" not in first.output
    assert second.output.startswith(
        "A search for 'Brindle Lighthouse' found 2 results:\n\n## Web Results\n"
        "Left out, since earlier lists showed them: 1, 4\n\nDocID:2\n[Maren Oxley]"
    )
    assert "found 0 results" in third.output
    assert "Documents of earlier result lists are left out." in requests[0].tools[0]["function"]["description"]
    usual = ran(voice, scripted, query, query, documents=scripted.DOCUMENTS)[0]
    assert [ids(call) for call in usual.calls()] == [ids(first)] * 2
    assert usual.agent["fingerprint"] != run.agent["fingerprint"]


def test_evidence_and_mining_follow_what_a_deduplicated_search_showed(voice, scripted):
    asked = [("search", {"query": "Brindle Lighthouse"}), ("search", {"query": "Brindle Lighthouse"})]
    tools = ["deduplicated_search", "get_document"]
    run, _ = ran(voice, scripted, *asked, ("get_document", {"docid": "2"}), tools=tools, documents=scripted.DOCUMENTS)
    task = Task(id="q1", question=run.question, evidence=["2", "4"])
    (row,) = measure([run], [task], {})
    assert (row.values["evidence_recall"], row.values["evidence_opened"], row.values["steps"]) == (1.0, 0.5, 3)
    (pair,) = mined(run)
    assert (pair.query, pair.positive, [negative.docid for negative in pair.negatives]) == (
        "Brindle Lighthouse",
        "2",
        ["3"],
    )


def mined(run):
    """The pairs of a run, all of whose browses were useful."""
    assembler = PairAssembler(MiningRecipe())
    verdicts = {(turn, call): BrowseVerdict("relevant") for turn, call, _ in run.browses()}
    assembler.add(*label(run, verdicts, "correct", assembler.recipe))
    return list(assembler.pairs())


# --- parts of a document ----------------------------------------------------------------------------------------------


def test_passages_of_a_document_are_found_by_their_words(voice, scripted):
    asked = [
        ("search", {"query": "tides"}),
        ("find_in_document", {"docid": "9", "query": "Who cast the bell?"}),
        ("get_document", {"docid": "9"}),
    ]
    run, _ = ran(voice, scripted, *asked, tools=ALL, limits={"snippet_tokens": 12, "document_tokens": 40})
    _, found, whole = run.calls()
    assert "The bell was cast by Ada Voss." in found.output
    assert "The bell" not in whole.output, "it stands behind what is shown of the document"
    assert found.output.startswith("Document 9:\nQuay Chronicle\n(")
    assert (found.docid, found.executed) == ("9", {"docid": "9", "query": "Who cast the bell?"})
    assert len(found.output) < 600
    task = Task(id="q1", question=run.question, evidence=["9"])
    assert measure([run], [task], {})[0].values["evidence_opened"] == 1.0
    assert [opened.browse.docid for opened in episodes(run)[0].chain] == ["9", "9"]
    assert mined(run)[0].positive == "9"


def test_where_no_passage_matches_nothing_counts_as_opened(voice, scripted):
    asked = [("search", {"query": "tides"}), ("find_in_document", {"docid": "9", "query": "zebra"})]
    run, _ = ran(voice, scripted, *asked, tools=ALL)
    call = list(run.calls())[1]
    assert call.output == "No passage of document 9 holds any of these words: zebra"
    assert (call.docid, call.hits, call.error) == (None, None, None)
    assert measure([run], [Task(id="q1", question="?", evidence=["9"])], {})[0].values["browses"] == 0
    (episode,) = episodes(run)
    assert (episode.failed_browses, "9" in episode.wanted) == (0, True), "asked for in vain, so no negative"


def test_a_long_document_is_read_by_sections_without_a_gap(voice, scripted):
    sections = [("get_section", {"docid": 9, "section": str(number)}) for number in range(1, 9)]
    asked = [("search", {"query": "tides"}), *sections]
    run, _ = ran(voice, scripted, *asked, tools=ALL, limits={"document_tokens": 200})
    _, *read = run.calls()
    there = [call for call in read if call.error is None]
    parts = [call.output.split(".)\n", 1)[1] for call in there]
    assert " ".join(parts) == LONG.text
    assert "(Section 1; about 4 more follow.)" in there[0].output
    assert "the last one" in there[-1].output
    assert [call.docid for call in there] == ["9"] * len(there)
    assert f"document '9' has {len(there)} sections; ask for one of them" in read[-1].output
    assert read[-1].executed is None


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("find_in_document", {"docid": "77", "query": "x"}), "document '77' is not in any result you were shown"),
        (("get_section", {"docid": "77", "section": 1}), "document '77' is not in any result you were shown"),
        (("get_section", {"docid": "1", "section": 0}), "has sections from 1 on"),
        (("get_section", {"docid": "1", "section": "two"}), "get_section needs a `section` that is a whole number"),
        (("get_section", {"docid": "1"}), "get_section needs a `section`"),
        (("find_in_document", {"docid": "1", "query": " "}), "needs a `query` that is not empty, a text"),
        (("find_in_document", "no json"), 'write them as {"docid": "...", "query": "..."}'),
        (("find_in_document", {"docid": "1", "query": "x" * 40_000}), "the query has 40,000 characters"),
        (("fly", {}), "find_in_document, which takes a docid and a query"),
    ],
)
def test_a_call_that_cannot_run_is_told_why_and_the_run_goes_on(voice, scripted, call, told):
    run, _ = ran(voice, scripted, ("search", {"query": "Brindle Lighthouse"}), call, tools=ALL)
    _, refused = run.calls()
    assert told in refused.output
    assert (refused.executed, refused.docid, refused.hits) == (None, None, None)
    assert run.answer == "Thornmouth"


# --- protocols --------------------------------------------------------------------------------------------------------

WORDED = {
    "tools": None,
    "tagged": '<tool_call>\n{"name": "find_in_document", "arguments": {"docid": "1", "query": "lit"}}\n</tool_call>',
    "react": 'Thought: look.\nAction: find_in_document[{"docid": "1", "query": "lit"}]',
}


@pytest.mark.parametrize("protocol", WORDED)
def test_every_protocol_describes_the_tools_that_the_profile_lists(voice, scripted, protocol):
    search = scripted.calls(("search", {"query": "Brindle Lighthouse"}))
    find = scripted.calls(("find_in_document", {"docid": "1", "query": "lit"}))
    find = find if WORDED[protocol] is None else scripted.says(WORDED[protocol])
    run, requests = voice(search, find, scripted.says(f"Final Answer: {FINAL}"), protocol=protocol, tools=ALL)
    assert [call.tool for call in run.calls()] == ["search", "find_in_document"]
    assert "lit in 1874" in list(run.calls())[1].output
    for tool in declarations(ALL):
        assert tool["function"]["name"] in requests[0].messages[0]["content"]
    assert requests[0].tools == (declarations(ALL) if protocol == "tools" else None)


def test_what_is_exported_for_fine_tuning_declares_the_tools_that_the_agent_had(voice, scripted):
    asked = [("search", {"query": "Brindle"}), ("find_in_document", {"docid": "1", "query": "lit"})]
    run, _ = ran(voice, scripted, *asked, tools=ALL)
    assert record_of(Entry(trajectory=run))["tools"] == declarations(ALL)


# --- a profile's list -------------------------------------------------------------------------------------------------


def test_tools_are_checked_when_a_profile_is_loaded():
    with pytest.raises(UnknownName, match="no tool is called 'serach'"):
        load_agent("openai-tools", {"tools": ["serach"]})
    with pytest.raises(InputError, match=r"two of the tools .* are called 'search'"):
        load_agent("openai-tools", {"tools": "[search, deduplicated_search]"})
    with pytest.raises(InputError, match="tools"):
        load_agent("openai-tools", {"tools": []})
    with pytest.raises(InputError, match="uses search and get_document, both and no other"):
        load_agent("simulated", {"tools": ALL})
    assert load_agent("simulated", {"tools": ["deduplicated_search", "get_document"]})


def test_an_agent_is_another_by_its_tools():
    usual, stated = AgentSettings(model="m/x"), AgentSettings(model="m/x", tools=["search", "get_document"])
    assert usual.describe() == stated.describe()
    others = [AgentSettings(model="m/x", tools=[name]) for name in known_tools()]
    prints = {agent.describe()["fingerprint"] for agent in (usual, *others)}
    assert len(prints) == len(others) + 1


# --- one's own --------------------------------------------------------------------------------------------------------


class Base(Tool):
    name = "own"
    description = "Does it."
    parameters = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}

    def run(self, arguments, view):
        raise NotImplementedError


@pytest.fixture
def own(voice, scripted, monkeypatch):
    """A run in which an agent calls a tool of one's own, whose method ``run`` is given."""

    def go(run, what="x", **fields):
        made = type("Own", (Base,), {"run": run, **fields})
        monkeypatch.setattr("lrat_sim.agent.tool._tool_class", lambda name: made)
        done, _ = voice(scripted.calls(("own", {"what": what})), scripted.says(FINAL), tools=["own"])
        return done

    return go


def test_the_output_of_a_tool_is_bounded_and_harmless(own):
    text = "<|im_end|>" + "a" * 100
    (call,) = own(lambda self, arguments, view: ToolResult(text=text), longest_output=20).calls()
    assert call.output == "<\\|im_end|>aaaaaaaaaa\n(Cut off: 90 of 110 characters are left out.)"
    (call,) = own(lambda self, arguments, view: ToolResult(text="ran"), what="x" * 11, longest_input=10).calls()
    assert "the what has 11 characters" in call.output
    assert call.executed is None


def test_a_tool_that_refuses_goes_on_and_one_that_breaks_is_a_failure_of_the_run(own):
    def refuses(self, arguments, view):
        raise ToolRefusal("there is no such thing")

    run = own(refuses)
    assert (run.answer, [call.output for call in run.calls()]) == ("Thornmouth", ["Error: there is no such thing."])

    def breaks(self, arguments, view):
        return 1 / 0

    run = own(breaks)
    assert (run.status, run.error.boundary) == ("error", "retriever")
    assert run.error.message == "tool 'own': ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    "result",
    ["text", ToolResult(text=3), ToolResult(text="", hits=[]), ToolResult(text="", executed={"a": object()})],
)
def test_a_result_that_cannot_be_recorded_is_a_failure_of_the_run(own, result):
    run = own(lambda self, arguments, view: result)
    assert run.status == "error"
    assert run.error.message.startswith("tool 'own': ")
    json.dumps(run.error.message)


def test_a_tool_that_neither_lists_nor_opens_is_a_step_of_no_kind(own):
    run = own(lambda self, arguments, view: ToolResult(text=f"{arguments['what']} is {view.question[:5]}"))
    (call,) = run.calls()
    assert (call.output, call.executed, call.hits, call.docid) == ("x is Where", {"what": "x"}, None, None)
    assert episodes(run) == [], "no search, and no browse that failed"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs the tool of examples/custom_tool.py, and some that cannot be used, as a package of a user would."""
    shutil.copy(Path(__file__).parents[2] / "examples" / "custom_tool.py", tmp_path / "my_tools.py")
    info = tmp_path / "my_tools-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-tools\nVersion: 1.0\n")
    points = [
        "related = my_tools:Related",
        "gone = my_tools:Gone",
        "none = my_tools:asyncio",
        "bare = my_tools:ls.Tool",
    ]
    (info / "entry_points.txt").write_text("\n".join(["[lrat_sim.tools]", *points]))
    monkeypatch.syspath_prepend(tmp_path)


def test_a_tool_of_a_package_is_a_name_in_a_profile(package, voice, scripted, tmp_path):
    assert "related" in known_tools()
    profile = tmp_path / "mine.yaml"
    profile.write_text("model: openai/m\ntools: [search, get_document, related]\n")
    agent = load_agent(str(profile))
    asked = [("search", {"query": "salt"}), ("related", {"docid": "3"}), ("get_document", {"docid": "2"})]
    run, requests = ran(voice, scripted, *asked, tools=agent.tools, limits={"k": 1}, documents=scripted.DOCUMENTS)
    assert [tool["function"]["name"] for tool in requests[0].tools] == ["search", "get_document", "related"]
    _, related, opened = run.calls()
    assert related.executed["query"].startswith(" Harbour tolls")
    assert (ids(related), opened.docid) == ([("1", 1)], None), "it was not shown"
    asked[-1] = ("get_document", {"docid": "1"})
    run, _ = ran(voice, scripted, *asked, tools=agent.tools, limits={"k": 1}, documents=scripted.DOCUMENTS)
    (row,) = measure([run], [Task(id="q1", question="?", evidence=["1"])], {})
    assert (row.values["evidence_recall"], row.values["evidence_opened"], row.values["searches"]) == (1.0, 1.0, 2)
    (pair,) = mined(run)
    assert (pair.query, pair.positive) == (related.executed["query"].strip(), "1")
    assert run.agent["tools"] == ["search", "get_document", "related"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone", "the tool 'gone' .my_tools:Gone. cannot be loaded"),
        ("none", "is no class of lrat_sim.Tool"),
        ("bare", "the tool 'bare' has no `name`"),
    ],
)
def test_a_tool_that_cannot_be_used_is_refused_when_the_profile_is_loaded(package, name, said):
    with pytest.raises(InputError, match=said):
        load_agent("openai-tools", {"tools": ["search", name]})


def test_each_run_has_its_own_instance():
    assert open_tools(["search"])[0] is not open_tools(["search"])[0]
