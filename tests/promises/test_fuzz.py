"""Run a fixed list of hostile cases in a separate process, and test how crashes are reported."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

from ebagx._core import options
from fuzz import run
from fuzz.oracle import FuzzError, run_case

TESTS = Path(run.__file__).parents[1]
CASES = int(os.environ.get("EBAGX_FUZZ_CASES", "1500"))


def fuzz(*arguments):
    environment = {
        **os.environ,
        "PYTHONPATH": str(TESTS),
        "OMP_WAIT_POLICY": "passive",
    }
    command = [sys.executable, "-m", "fuzz.run", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(sys.platform == "win32", reason="the driver limits memory as POSIX has it")
def test_cases():
    done = fuzz("--cases", str(CASES), "--failures", "1")  # making one small takes minutes
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{CASES} cases, 0 failures")


def test_the_driver_is_imported_where_no_limit_can_be_set(monkeypatch):
    """On Windows the module `resource` is missing, and this file imports the driver."""
    monkeypatch.setitem(sys.modules, "resource", None)
    assert runpy.run_path(run.__file__)["case_of"](1) == run.case_of(1)


def test_the_simplest_case():
    assert run_case(b"") == "forward valid"


def test_wrong_results_are_found(monkeypatch):
    monkeypatch.setattr("ebagx.embedding_bag", lambda *_, weight, **__: weight[:2] + 1)
    with pytest.raises(FuzzError, match="^forward"):
        run_case(b"")


@pytest.fixture
def forget_options():
    """Options are checked once, and known after that: also those of a wrong check."""
    options._known_options.cache_clear()
    yield
    options._known_options.cache_clear()


@pytest.mark.usefixtures("forget_options")
def test_missing_errors_are_found(monkeypatch):
    monkeypatch.setattr("ebagx._core.options.check_num_threads", lambda number: None)
    failures = 0
    for seed in range(600):
        try:
            run_case(run.case_of(seed))
        except FuzzError as failure:
            failures += "no error, expected" in str(failure)
    assert failures


def test_small_cases_still_fail(monkeypatch):
    """A case is made smaller as long as it fails."""

    def run_one(data, target):  # noqa: ARG001
        return subprocess.CompletedProcess([], int(len(data) > 3 and data[3] == 7))

    monkeypatch.setattr(run, "run_one", run_one)
    assert run.smaller(bytes([1, 2, 3, 7, 5, 6, 7, 8])) == bytes([0, 0, 0, 7])
