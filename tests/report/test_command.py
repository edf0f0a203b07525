import subprocess
import sys

from typer.testing import CliRunner

from lrat_sim.cli import build


def test_command_writes_the_report_and_says_where(hostile, tmp_path):
    result = CliRunner().invoke(build(), ["report", str(hostile), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert result.output.split() == ["report:", str(tmp_path / "out" / "report.html")]
    assert (tmp_path / "out" / "report.html").is_file()
    assert not (hostile / "report.html").exists()


def test_package_loads_without_what_draws_and_trains():
    loaded = "import sys, lrat_sim.cli, lrat_sim.report; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert "lrat_sim.report" in modules
    assert not {"torch", "litellm", "transformers", "starlette", "matplotlib", "scipy"} & {*modules}
