from contextlib import ExitStack

import msgspec
import pytest
from starlette.testclient import TestClient

from lrat_sim.records import Call, Hit, Task, Trajectory, Turn, Usage

SCRIPT = "<script>document.title = 'owned'; window.owned = true</script>"
IMAGE = "<img src=x onerror=\"window.owned = true\"><img src='http://192.0.2.1/beacon.png'>"
HOSTILE_ID = "a/../b?run=x&id=1#%2e\"'><img src=x onerror=window.owned=true>"
HOSTILE_TEXT = (
    f"lighthouse {SCRIPT} {IMAGE} </div></main></body> <a href='javascript:window.owned=true'>x</a> \u202etxt"
)
HOSTILE_TASK = "t/<b>&\"'1"


@pytest.fixture(scope="session")
def hostile(scripted, tmp_path_factory):
    """A comparison folder of two runs in which ids, titles, texts, queries and answers all attack the page.

    ``a`` opens the hostile document, ``b`` does not find it and searches again; ``a`` is judged and mined.
    """
    from lrat_sim.agent.profile import AgentSettings, Limits
    from lrat_sim.grading.run import grade_run, judge_run
    from lrat_sim.mining.recipe import load_recipe
    from lrat_sim.mining.run import mine_run
    from lrat_sim.models.call import Retries
    from lrat_sim.records import Document
    from lrat_sim.rollout.run import rollout

    root = tmp_path_factory.mktemp("hostile")
    bad = Document(id=HOSTILE_ID, title=f"lighthouse {SCRIPT}", text=HOSTILE_TEXT)
    plain = [Document(id=f"d{number}", title=f"Harbour {number}", text="a harbour") for number in range(3)]

    def script(messages, _):
        turns = sum(message["role"] == "assistant" for message in messages)
        text = " ".join(str(message.get("content")) for message in messages)
        if turns == 0:
            return scripted.calls(("search", {"query": f"lighthouse harbour {SCRIPT}"}), reasoning=f"Look. {IMAGE}")
        if turns == 1 and "DocID:a/" in text:
            return scripted.calls(("get_document", {"docid": HOSTILE_ID}), reasoning="That one.")
        if turns == 1:
            return scripted.calls(("search", {"query": "harbour again"}), reasoning="Not there.")
        return scripted.says(f"Exact Answer: {IMAGE} rock", f"It says rock. {SCRIPT}")

    scripted.provide(script, "hostile")
    agent = AgentSettings(model="hostile/x", name=f"agent {SCRIPT}", retries=Retries(attempts=1), limits=Limits(k=3))
    tasks = [
        Task(id=HOSTILE_TASK, question=f"Which rock? {SCRIPT}", answers=["rock"], evidence=[HOSTILE_ID]),
        Task(id="t2", question="Which harbour?", answers=["none such"], evidence=["d1"]),
    ]
    for name, documents in (("a", [bad, *plain]), ("b", plain)):
        summary = rollout(tasks, agent, scripted.Tiny(documents), root / name, table=False)
        assert summary.answered == 2
        grade_run(root / name)
        judge_run(root / name)
    mine_run(root / "a", load_recipe("mine-paper"))
    return root


@pytest.fixture
def client():
    """client(folder) asks the viewer of a folder, in this process."""
    from lrat_sim.viewer.app import viewer_app
    from lrat_sim.viewer.library import Library

    def make(folder, **options):
        app = viewer_app(Library(folder, **options))
        return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)

    return make


@pytest.fixture
def at_once(monkeypatch):
    """The viewer looks for new files on every request."""
    monkeypatch.setattr("lrat_sim.viewer.library._SECONDS", 0.0)


class Make:
    """Records of a run."""

    @staticmethod
    def search(query, docids, **more):
        hits = [Hit(docid=docid, score=1.0 / rank, rank=rank) for rank, docid in enumerate(docids, 1)]
        return Call(id="s", tool="search", arguments={"query": query}, executed={"query": query}, hits=hits, **more)

    @staticmethod
    def browse(docid, output=""):
        executed = {"docid": docid}
        return Call(id="b", tool="get_document", arguments=executed, executed=executed, docid=docid, output=output)

    @staticmethod
    def turn(*calls, reasoning="So.", **more):
        return Turn(reasoning=reasoning, reasoning_tokens=2, calls=list(calls), **more)

    @staticmethod
    def run(*turns, id="t1.0", task="t1", **changed):
        made = Trajectory(
            id=id, task_id=task, question=f"Question {task}?", sample=0, seed=0, status="answered", end_reason="answer",
            agent={"name": "someone", "fingerprint": "a1"}, retriever={"kind": "bm25", "fingerprint": "r1"}, answer="x",
            turns=list(turns), usage=Usage.zero(),
        )  # fmt: skip
        return msgspec.structs.replace(made, **changed)


@pytest.fixture(scope="session")
def make():
    return Make


@pytest.fixture
def browse(chromium):
    """browse(folder, **context) opens the viewer of a folder in a page of the browser, and gives page and URL.

    Afterwards: no error was written to the console, and nothing but the viewer was asked for anything.
    """
    from lrat_sim.retrieval.server import serving_app
    from lrat_sim.viewer.app import viewer_app
    from lrat_sim.viewer.library import Library

    said, asked, urls = [], [], []
    with ExitStack() as stack:

        def open_page(folder, **context):
            library = Library(folder)
            urls.append(stack.enter_context(serving_app(lambda address: viewer_app(library, host=address))))
            page = stack.enter_context(chromium.new_context(**context)).new_page()
            page.set_default_timeout(20_000)
            page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(urls[-1])
            return page, urls[-1]

        yield open_page
    assert said == []
    assert asked
    assert all(url.startswith(tuple(urls)) for url in asked)
