"""Test that comments and docstrings begin with a sentence, which has a main verb."""

import ast
import io
import re
import tokenize

import pytest

from support.repository import ROOT

FOLDERS = ("bench", "ebagx", "examples", "tests", "tools")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
COMPILED = sorted(path for kind in ("pxi", "pyx") for path in (ROOT / "ebagx").rglob(f"*.{kind}"))
# "Of several labels, the first counts." is a sentence; "Of the sort: bits of a key." is not.
FRAGMENT = re.compile(r"(What|How|Whether|Which|Who|Whose|Where)\b|Of\b[^,]*$")


def comments(text):
    """Yield the line of each comment, and its text with that of the lines that continue it."""
    first = last = 0
    words = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1:
            yield first, " ".join(words)
            first, words = token.start[0], []
        last = token.start[0]
        words.append(token.string.strip("# %"))
    yield first, " ".join(words)


def docstrings(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""


def fragments(text):
    """Yield line and first sentence of the comments and docstrings that begin with a fragment."""
    for line, words in (*comments(text), *docstrings(text)):
        first = re.split(r"(?<=[.:;?!])\s", words, maxsplit=1)[0]
        if FRAGMENT.match(first) and not first.endswith("?"):
            yield line, first


def fragments_of_cython(text):
    """Yield the same of comments in Cython, which have lines of their own."""
    before = ""
    for line, words in enumerate(text.splitlines(), 1):
        comment = re.match(r"\s*#\s*(.*)", words)
        if comment and not before.lstrip().startswith("#") and FRAGMENT.match(comment[1]):
            yield line, comment[1]
        before = words


@pytest.mark.skipif(not (ROOT / "ebagx").exists(), reason="the sources are not here")
def test_texts_begin_with_sentences():
    found = []
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        texts = fragments(path.read_text("utf-8"))
        found += [f"{name}:{line}: {first}" for line, first in texts]
    for path in COMPILED:
        texts = fragments_of_cython(path.read_text("utf-8"))
        found += [f"{path.relative_to(ROOT).as_posix()}:{line}: {first}" for line, first in texts]
    assert found == []


@pytest.mark.parametrize(
    "text", ["# What the rows hold.", "# Of the\n# sort: bits.", '"""Whether it ends."""']
)
def test_fragments_are_found(text):
    assert len(list(fragments(text))) == 1


@pytest.mark.parametrize(
    "text", ["# Of equal values, the first counts.", "# %%\n# What is it?", '"""Return how."""']
)
def test_sentences_pass(text):
    assert list(fragments(text)) == []


def test_fragments_of_cython_are_found():
    text = "cdef int a  # What it is\n# Where bags start,\n# and end.\nx = 1\n# A bag.\n"
    assert list(fragments_of_cython(text)) == [(2, "Where bags start,")]
