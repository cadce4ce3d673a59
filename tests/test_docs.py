"""The examples in the pages of the documentation."""

import doctest
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parent.parent / "docs").glob("*.rst"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples(page):
    pytest.importorskip("sklearn")
    failed, _ = doctest.testfile(str(page), module_relative=False)
    assert failed == 0


def test_pages_have_examples():
    if PAGES:  # .ci/run tests the wheel without them
        assert sum(">>> " in page.read_text("utf-8") for page in PAGES) >= 6
