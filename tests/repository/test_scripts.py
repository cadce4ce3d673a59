"""Scripts of the checks: a failing command must end them."""

import re
import shutil
import subprocess

import pytest

from support.repository import ROOT

SCRIPTS = [*ROOT.glob(".ci/run"), *ROOT.glob("tools/*.sh"), *ROOT.glob(".github/workflows/*.yml")]
pytestmark = pytest.mark.skipif(not SCRIPTS, reason="the scripts are in the repository only")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_each_command_is_a_line_of_its_own(script):
    """Bash goes on after ``a && b`` if a fails, and after ``a || true`` whatever a does."""
    lines = script.read_text("utf-8").splitlines()
    commands = [line for line in lines if not re.match(r" *(#|if: )", line)]
    assert [line for line in commands if re.search(r"&&|\|\| *(true|:)", line)] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_end_at_the_first_failure(script):
    assert script.suffix == ".yml" or "\nset -euo pipefail\n" in script.read_text("utf-8")


def test_steps_are_functions():
    text = (ROOT / ".ci/run").read_text("utf-8")
    lanes = re.findall(r"^\w+_lane=\((.*)\)$", text, re.MULTILINE)
    functions = re.findall(r"^(\w+)\(\) \{$", text, re.MULTILINE)
    for steps in map(str.split, lanes):
        assert [name for name in functions if name in steps] == steps
    assert sum(map(len, map(str.split, lanes))) == 10


@pytest.mark.skipif(shutil.which("setsid") is None, reason="lanes need setsid")
@pytest.mark.parametrize("failing", [None, "docs", "readme_tests"])
def test_a_failure_in_either_lane_fails_the_run(failing, tmp_path):
    """Run the script with steps that only print their names, or fail."""
    text = (ROOT / ".ci/run").read_text("utf-8")
    for lane in re.findall(r"^\w+_lane=\((.*)\)$", text, re.MULTILINE):
        for step in ["system", *lane.split()]:
            body = "false" if step == failing else "sleep 0.1"
            text = re.sub(
                rf"^{step}\(\) \{{\n.*?^\}}", f"{step}() {{ {body}; }}", text, flags=re.M | re.S
            )
    script = tmp_path / ".ci/run"
    script.parent.mkdir()
    script.write_text(text)
    script.chmod(0o755)
    done = subprocess.run([str(script)], capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == (failing is None)
    assert (done.stdout.count("=== all passed") == 2) == (failing is None)
