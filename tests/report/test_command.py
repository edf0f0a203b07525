import subprocess
import sys

from typer.testing import CliRunner

import lrat_sim.cli.report  # noqa: F401  # the command joins where it is imported
from lrat_sim.cli.app import app


def test_command_writes_the_report_and_says_where(hostile, tmp_path):
    result = CliRunner().invoke(app, ["report", str(hostile), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert result.output.split() == ["report:", str(tmp_path / "out" / "report.html")]
    assert (tmp_path / "out" / "report.html").is_file()
    assert not (hostile / "report.html").exists()


def test_package_loads_without_what_draws_and_trains():
    loaded = "import sys, lrat_sim.cli.report, lrat_sim.report; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert "lrat_sim.report" in modules
    assert not {"torch", "litellm", "transformers", "starlette", "matplotlib", "scipy"} & {*modules}
