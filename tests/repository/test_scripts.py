"""Scripts of the checks: a failing command must end them."""

import re

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
    (steps,) = re.findall(r"^steps=\((.*)\)$", text, re.MULTILINE)
    functions = re.findall(r"^(\w+)\(\) \{$", text, re.MULTILINE)
    assert [name for name in functions if name in steps.split()] == steps.split()
