import json
import os
import shutil
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

# a machine may be slow, or busy with something else
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# before any test imports a hub client: nothing in the tests may wait for a network
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# where the tests were started in the background of a shell, Ctrl-C is ignored, here and in every process they start
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def command(monkeypatch, capfd, tmp_path):
    """command(*arguments) runs the command line in this process, 80 columns wide: standard output and error."""
    from lrat_sim import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["lrat-sim", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capfd.readouterr()
        assert (left.value.code or 0) == code, err
        return out, err

    return run


@pytest.fixture
def real_data():
    data = os.environ.get("LRAT_SIM_DATA")
    if not data:
        pytest.skip("LRAT_SIM_DATA does not name the folder with the real data sets")
    return Path(data)


@pytest.fixture(scope="session")
def data():
    """The folder of the public data sets; without it the test is skipped."""
    folder = os.environ.get("LRAT_SIM_DATA")
    if not folder:
        pytest.skip("LRAT_SIM_DATA does not name the folder of the public data sets")
    if not Path(folder).is_dir():
        pytest.fail(f"LRAT_SIM_DATA names {folder}, which is not a folder")
    return Path(folder)


@pytest.fixture(scope="session")
def scripted():
    """Scripted models, server and retriever: the module tests/support/scripted.py."""
    import scripted

    return scripted


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all the workers of a test run share; what is made in it is made once, by who holds the lock."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def small_world(shared):
    """A generated world of 1,000 documents with 24 training and 12 test tasks."""
    from filelock import FileLock

    from lrat_sim.corpus import prepare

    sizes = {"documents": 1000, "train_tasks": 24, "dev_tasks": 2, "test_tasks": 12, "ood_tasks": 2}
    with FileLock(shared / "world.lock"):
        return prepare("world", shared / "world", options=sizes)


@pytest.fixture(scope="session")
def one_layer(shared):
    """The lowest layer of MiniLM as an encoder of its own: a sixth of the time, and it can be trained."""
    from filelock import FileLock

    with FileLock(shared / "one-layer.lock"):
        if not (shared / "one-layer").is_dir():
            from sentence_transformers import SentenceTransformer

            from lrat_sim.text import minilm_folder

            model = SentenceTransformer(str(minilm_folder()), device="cpu")
            bert = model[0].auto_model
            bert.encoder.layer, bert.config.num_hidden_layers = bert.encoder.layer[:1], 1
            model.save_pretrained(str(shared / "part"), create_model_card=False)
            (shared / "part").rename(shared / "one-layer")
    return shared / "one-layer"


@pytest.fixture(scope="session")
def wheel_settings(one_layer):
    """A flywheel small enough for a test, training included."""
    from lrat_sim.study import FlywheelSettings

    training = {"epochs": 1, "batch_size": 16, "group_size": 3, "freeze_layers": 0}
    training |= {"max_query_length": 32, "max_document_length": 32}
    # its two development tasks decide nothing
    small = {"test_tasks": 8, "samples": 1, "gate": "none"}
    return FlywheelSettings(base_model=str(one_layer), training_options=training, **small)


@pytest.fixture(scope="session")
def wheel(shared, small_world, wheel_settings, tmp_path_factory):
    """One finished flywheel for all tests: look at it, copy it, never change it."""
    from filelock import FileLock

    from lrat_sim.study import flywheel

    with FileLock(shared / "wheel.lock"):
        if not (shared / "wheel.done").exists():
            result = flywheel(small_world, shared / "wheel", wheel_settings)
            (shared / "wheel.done").touch()
            return result
    # a copy for every further process: to ask for the result writes its record anew, while another may look at it
    own = shutil.copytree(shared / "wheel", tmp_path_factory.mktemp("flywheel") / "wheel")
    return flywheel(small_world, own, wheel_settings)


@pytest.fixture(scope="session")
def general(tmp_path_factory):
    """A general data set of a few documents, in the layout of BEIR."""
    folder = tmp_path_factory.mktemp("general")
    texts = ["Cats sleep by day.", "Iron rusts in rain.", "The moon pulls the tide.", "Bread rises with yeast."]
    lines = [json.dumps({"_id": f"g{place}", "title": "", "text": text}) for place, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    queries = ["When do cats sleep?", "What makes bread rise?"]
    lines = [json.dumps({"_id": f"q{place}", "text": text}) for place, text in enumerate(queries)]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\tg0\t1\nq1\tg3\t1\n")
    return folder


@pytest.fixture(scope="module")
def chromium(wheel):
    """A browser; the tests that need one are skipped where there is none.

    While it is open an event loop runs in this thread, so that rollouts and judges cannot: it is closed with its
    module, which names what is looked at in ``usefixtures``, so that this is made before.
    """
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium is installed (Debian: apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
