"""Test the examples of the documentation, and its list of public names."""

import doctest
import os
import re
import shlex
import subprocess
import sys
import textwrap

import pytest

from support.repository import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.rst"), *DOCS.glob("*.md")])
pytestmark = pytest.mark.skipif(not PAGES, reason="tests without the documentation")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples(page):
    pytest.importorskip("sklearn")
    if ">>> import torch" in page.read_text("utf-8"):
        pytest.importorskip("torch")
    if ">>> from distributed import" in page.read_text("utf-8"):
        for module in ("distributed", "pandas", "pyarrow"):  # of a dataframe's texts
            pytest.importorskip(module)
    failed, _ = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert failed == 0


BLOCK = re.compile(r"^\.\. code-block::.*\n((?:   .*\n|\n)+)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_is_not_wider_than_the_page(page):
    blocks = map(textwrap.dedent, BLOCK.findall(page.read_text("utf-8")))
    assert [line for block in blocks for line in block.splitlines() if len(line) > 72] == []
    examples = re.findall(r"^ *(?:>>>|\.\.\.) (.+)$", page.read_text("utf-8"), re.MULTILINE)
    assert [line for line in examples if len(line) > 72] == []


PROGRAM = "import sys; sys.argv[0] = 'ebagx'; from ebagx.cli import main; sys.exit(main())"
# A command with the lines that continue it, and what it prints.
COMMAND = re.compile(r"^   \$ ((?:.*\\\n)*.*)\n((?:   (?!\$ ).*\n)*)", re.MULTILINE)
CONSOLE = [page for page in PAGES if "   $ ebagx " in page.read_text("utf-8")]


@pytest.mark.skipif(sys.platform == "win32", reason="the examples are for a POSIX shell")
@pytest.mark.parametrize("page", CONSOLE, ids=lambda page: page.stem)
def test_console_examples(page, tmp_path):
    """Run the commands of a page in one folder; what they print on both streams is as shown."""
    pytest.importorskip("sklearn")
    pytest.importorskip("tqdm")
    commands = COMMAND.findall(page.read_text("utf-8"))
    assert len(commands) >= 3
    for command, expected in commands:
        shown = _printed(command, tmp_path)
        wanted = textwrap.dedent(expected)
        assert _is_as_shown(wanted, shown), f"{command}\n{shown}"


def _printed(command, folder):
    program = f"{shlex.quote(sys.executable)} -P -c {shlex.quote(PROGRAM)}"
    script = f'ebagx() {{ {program} "$@"; }}; {command}'
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert process.returncode == (2 if "error: " in process.stderr else 0), process.stderr
    return process.stdout + process.stderr


def _is_as_shown(wanted, shown):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(wanted, shown, flags)


def test_pages_have_examples():
    assert sum(">>> " in page.read_text("utf-8") for page in PAGES) >= 6


def test_the_first_page_leads_to_the_jobs():
    """One click each: classify a CSV, load GloVe, recommend, use PyTorch, serve, save."""
    first = (DOCS / "index.rst").read_text("utf-8")
    jobs = {
        "a :ref:`CSV <classify-a-csv>`": "text.rst",
        ":doc:`Load GloVe <vectors>`": "vectors.rst",
        ":doc:`Recommend items <recommend>`": "recommend.rst",
        ":doc:`Call it from PyTorch <pytorch_models>`": "pytorch_models.rst",
        ":doc:`Serve a model <serving>`": "serving.rst",
        ":doc:`save <saving>`": "saving.rst",
    }
    assert [link for link in jobs if link not in first] == []
    assert [page for page in jobs.values() if not (DOCS / page).exists()] == []


def test_named_files_exist():
    """The guarantees name tests, and the page for contributors names files of the source."""
    guarantees = (DOCS / "guarantees.md").read_text("utf-8")
    tests = set(re.findall(r"`((?:\w+/)?test_\w+)`", guarantees))
    assert len(tests) > 20
    assert [name for name in tests if not (ROOT / f"tests/{name}.py").exists()] == []
    concepts = (DOCS / "concepts.rst").read_text("utf-8")
    files = set(re.findall(r"``((?:ebagx|tests)/[\w/.]+)``", concepts))
    assert len(files) > 30
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_the_reference_lists_every_public_name():
    pytest.importorskip("sklearn")
    import ebagx.dask
    import ebagx.datasets
    import ebagx.sklearn
    import ebagx.sklearn.plot
    import ebagx.text

    modules = [
        *(ebagx, ebagx.metrics, ebagx.optim, ebagx.sklearn, ebagx.sklearn.plot),
        *(ebagx.dask, ebagx.datasets, ebagx.text),
    ]
    public = [name for module in modules for name in module.__all__]
    listed = re.findall(r"^   (\w+)$", (DOCS / "api/index.rst").read_text("utf-8"), re.MULTILINE)
    others = {"__version__", "metrics", "optim"}
    assert sorted(listed) == sorted(
        ["parameters", *(name for name in public if name not in others)]
    )


def test_the_reference_lists_the_names_for_pytorch():
    pytest.importorskip("torch")
    import ebagx.torch

    text = (DOCS / "api/index.rst").read_text("utf-8")
    listed = re.findall(r"^   torch\.(\w+)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(ebagx.torch.__all__)
