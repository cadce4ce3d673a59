"""Markers and ids of the tests: both are what scripts select tests by."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support import markers
from support.repository import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DECLARED = {
    line.partition(":")[0] for line in PYPROJECT["tool"]["pytest"]["ini_options"]["markers"]
}
FILES = [path.relative_to(markers.TESTS).as_posix() for path in markers.TESTS.rglob("test_*.py")]
# pytest -m 'core and not slow', session.run("pytest", "-m", "core"), and not python -m build
SELECTION = re.compile(r"""-m"?,? ["']?((?:\w| )+)(?<! )""")
MODULES = {"build", "fuzz", "pip", "pytest", "venv"}


@pytest.mark.parametrize("name", markers.MARKED)
def test_each_pattern_finds_a_file(name):
    for pattern in markers.MARKED[name]:
        assert any(markers.fnmatch(file, pattern) for file in FILES), pattern


def test_each_marker_is_in_use():
    sources = [Path(markers.TESTS, file).read_text("utf-8") for file in FILES]
    used = {name for text in sources for name in re.findall(r"pytest\.mark\.(\w+)", text)}
    assert set(markers.MARKED) | (used & DECLARED) == DECLARED


@pytest.mark.parametrize("script", [".ci/run", "noxfile.py", "pyproject.toml"])
def test_scripts_select_by_declared_markers(script):
    """An unknown marker in an expression selects nothing, and pytest does not say so."""
    path = ROOT / script
    if not path.exists():
        pytest.skip("the script is in the repository only")
    selections = set(SELECTION.findall(path.read_text("utf-8"))) - MODULES
    assert selections
    words = {word for selection in selections for word in selection.split()}
    assert words - {"and", "or", "not"} <= DECLARED


@pytest.mark.parametrize(
    "name",
    ["t[<function f at 0x7f2a>]", "t[object at 0x1]", "t[0x7f2a4c21d0]"],
    ids=["function", "object", "number"],
)
def test_ids_with_addresses_are_refused(name):
    with pytest.raises(pytest.UsageError, match=r"^1 test ids hold an address; .*: t\["):
        markers.check_ids(["t[0x1f-at 3]", name])


@pytest.mark.slow
def test_ids_are_those_of_another_process(request):
    """Elsewhere too are hashes of strings, addresses, and the time."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [*command, str(markers.TESTS)], env=env, cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout
    assert {item.nodeid for item in request.session.items} <= set(done.stdout.splitlines())
