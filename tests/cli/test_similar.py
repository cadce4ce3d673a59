"""Test `ebagx similar`: words, keywords and labels, from arguments and from standard input."""

import re

import pytest

pytest.importorskip("sklearn")

from ebagx.text import load_model
from support.cli_cases import WORDS

pytestmark = pytest.mark.usefixtures("trained")


def pairs(lines):
    return [(name, float(value)) for name, value in (line.split("\t") for line in lines if line)]


def test_words_like_a_word(run, tmp_path):
    status, out, err = run("similar", "ebagx-model", "cat", "-k", 3)
    assert (status, err) == (0, "")
    expected = load_model(tmp_path / "ebagx-model").nearest("cat", 3)
    assert out == [f"{word}\t{cosine:.4f}" for word, cosine in expected]
    assert {word for word, _ in expected} <= set(WORDS["animal"].split())
    assert all(re.fullmatch(r"\S+\t-?\d\.\d{4}", line) for line in out)
    assert len(run("similar", "ebagx-model", "cat")[1]) == 10


def test_several_texts(run):
    out = run("similar", "ebagx-model", "the cat", "soup", "-k", 2)[1]
    assert (len(out), out[2]) == (5, "")
    assert out[3:] == run("similar", "ebagx-model", "soup", "-k", 2)[1]


def test_lines_of_standard_input(run):
    lines = b"cat\n\n__label__food xyzzy\nsoup\n"
    status, out, err = run("similar", "ebagx-model", "-k", 1, stdin=lines)
    assert status == 0
    assert err == "ebagx: warning: nothing in the text 'xyzzy' is known to the model\n"
    cat, soup = (run("similar", "ebagx-model", word, "-k", 1)[1] for word in ("cat", "soup"))
    assert [line for line in out if line] == [*cat, *soup]


def test_keywords_and_labels(run, tmp_path):
    model = load_model(tmp_path / "ebagx-model")
    out = run("similar", "ebagx-model", "food", "--keywords", "-k", 4)[1]
    assert out == [f"{word}\t{score:.4f}" for word, score in model.keywords("food", 4)]
    assert {word for word, _ in pairs(out)} == set(WORDS["food"].split())
    out = run("similar", "ebagx-model", "food", "--labels")[1]
    assert {name for name, _ in pairs(out)} == {"animal", "place"}
    assert all(-1 <= cosine <= 1 for _, cosine in pairs(out))
    assert len(run("similar", "ebagx-model", "food", "--labels", "-k", 1)[1]) == 1


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (("xyzzy",), "nothing in the text 'xyzzy' is known to the model"),
        (("cat", "xyzzy"), "nothing in the text 'xyzzy' is known to the model"),
        (("cat", "--keywords"), "'cat' is no label of the model: ebagx info lists them"),
        (("cat", "--labels"), "'cat' is no label of the model: ebagx info lists them"),
    ],
)
def test_one_line_errors(run, argv, problem):
    assert run("similar", "ebagx-model", *argv) == (2, [], f"ebagx: {problem}\n")
