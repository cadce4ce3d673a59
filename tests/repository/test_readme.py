"""Test the examples and the figures of the README."""

import doctest
import importlib.util
import json
import re

import pytest

from support.repository import ROOT

README = ROOT / "README.md"
# Blocks without prompts show no results, and need packages that the tests have not.
BLOCKS = re.findall(r"^```python\n(?!>>>)(.+?)^```$", README.read_text("utf-8"), re.M | re.S)


def test_examples():
    pytest.importorskip("sklearn")
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried > 20
    assert failed == 0


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split()[1].strip(","))
def test_examples_of_other_packages(block):
    for package in {"torch", "dask"}.intersection(re.findall(r"\w+", block)):
        pytest.importorskip(package)
    exec(compile(block, str(README), "exec"), {})


def test_it_is_short():
    lines = README.read_text("utf-8").splitlines()
    assert len(lines) < 200
    examples = re.findall(r"^```python\n(.+?)^```$", "\n".join(lines), re.M | re.S)
    assert len(examples) >= 5
    for example in examples:
        assert max(map(len, example.splitlines())) <= 72


@pytest.mark.skipif(not (ROOT / "bench").exists(), reason="the tests have been copied")
def test_its_figures_are_those_of_the_results():
    spec = importlib.util.spec_from_file_location("jobs", ROOT / "bench/jobs.py")
    jobs = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        spec.loader.exec_module(jobs)
    results = [
        json.loads((ROOT / "bench/results" / name).read_text("utf-8"))
        for name in (
            *("spr.json", "classify-spr.json", "recommend-spr.json"),
            "classify-accuracy.json",
        )
    ]
    text = README.read_text("utf-8")
    assert text == jobs.replaced(text, jobs.table(jobs.Files(*results[:3]), results[3]))
