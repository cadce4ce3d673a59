"""Compare the names of other projects that pages link with the pages and with the packages."""

import importlib
import re
from pathlib import Path

import pytest

import ebagx
from support.repository import ROOT, load_script

DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="tests without the documentation")


@pytest.fixture(scope="module")
def linked():
    """Return the names of each project, and the page of each."""
    module = load_script("docs/other_projects.py")
    return {key: dict(module.pages(project)) for key, project in module.PROJECTS.items()}


@pytest.fixture(scope="module")
def referred():
    """Return what pages, examples and docstrings write in the default role, and in See Also."""
    files = [*DOCS.glob("*.rst"), *DOCS.glob("*.md"), *(ROOT / "examples").glob("*.py")]
    package = Path(ebagx.__file__).parent
    files += [path for path in package.rglob("*.py") if "_kernels" not in path.parts]
    text = "\n".join(path.read_text("utf-8") for path in files)
    roles = re.findall(r"(?<![`\w])`(?:[^`<\n]+<)?([\w.]+)>?`(?!`)", text)
    return {*roles, *re.findall(r"^ +([a-z]\w+(?:\.\w+)+) : \w", text, re.MULTILINE)}


def test_names_exist(linked):
    for project, pages in linked.items():
        if project != "python":
            pytest.importorskip(project)
        for name in filter(lambda name: "." in name, pages):
            module, _, attribute = name.rpartition(".")
            found = (
                pytest.importorskip(module)
                if project == "dask"
                else importlib.import_module(module)
            )
            assert hasattr(found, attribute), name


def test_names_are_used(linked, referred):
    used = {page for pages in linked.values() for name, page in pages.items() if name in referred}
    assert [p for pages in linked.values() for p in pages.values() if p not in used] == []


def test_pages_link_what_they_name(linked, referred):
    """A name of another project in the default role, where it is known, is a link."""
    known = {name for pages in linked.values() for name in pages}
    others = tuple(f"{key}." for key in {*linked, "np", "scipy", "copy", "os"})
    assert sorted(name for name in referred - known if name.startswith(others)) == []
