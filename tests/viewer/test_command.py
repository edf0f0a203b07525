import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest

from lrat_sim.cli import main
from lrat_sim.records import encode

COMMAND = "from lrat_sim.cli import main; main()"


@pytest.fixture
def view(tmp_path):
    """view(*arguments) begins the command as a process of its own, in an empty folder."""
    begun = []

    def begin(*arguments):
        line = [sys.executable, "-c", COMMAND, "view", *map(str, arguments)]
        begun.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_the_command_says_where_it_listens_and_ends_when_told(view, tmp_path, make):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "trajectories.jsonl").write_bytes(encode(make.run(make.turn())) + b"\n")
    before = sorted(tmp_path.rglob("*"))
    process = view("run", "--port", 0)
    said = process.stdout.readline()
    assert said.startswith("showing run at http://127.0.0.1:")
    with urlopen(said.split(" at ")[1].split(";")[0], timeout=60) as answer:
        assert b"1 of 1 trajectory" in answer.read()
    assert sorted(tmp_path.rglob("*")) == before
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none"], "none is not a folder"),
        (["."], "holds no run folder"),
        ([".", "--host", "0.0.0.0"], "not loopback"),
        ([".", "--corpus", "none"], "corpus.json cannot be read"),
    ],
)
def test_bad_input_ends_with_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lrat-sim", "view", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
