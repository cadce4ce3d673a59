"""Test tokenizers that are functions of Python."""

import pickle
import re
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from ebagx.text import TextClassifier, load_model

TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of \u00e4pfel", "pie"]
LABELS = ["cat", "cat", "dog", "dog", "food", "food"]
SMALL = {"dim": 4, "epochs": 40, "random_state": 0}


def letters(text):
    return re.findall(r"\w", text)


def pairs(text):
    """Return words with a blank, a line end or nothing in them."""
    words = text.split()
    return ["", *(f"{a} {b}" for a, b in pairwise(words)), *words, "\n"]


def fitted(tokenizer, **options):
    return TextClassifier(**SMALL, tokenizer=tokenizer, **options).fit(TEXTS, LABELS)


@pytest.mark.parametrize("options", [{}, {"char_ngrams": (2, 3)}, {"word_ngrams": 3}])
def test_the_rule_of_whitespace_as_a_function(options):
    expected = fitted("whitespace", **options)
    model = fitted(str.split, **options)
    np.testing.assert_array_equal(model.embedding_, expected.embedding_)
    texts = [*TEXTS, "", "unknown", "cat\ndog"]
    np.testing.assert_array_equal(model.predict_proba(texts), expected.predict_proba(texts))
    for alone in texts:
        np.testing.assert_array_equal(model.vectors([alone]), expected.vectors([alone]))


def test_lower_case():
    upper = [text.upper() for text in TEXTS]
    assert (
        fitted(str.split).predict_proba(upper).tolist()
        != fitted(str.split).predict_proba(TEXTS).tolist()
    )
    model = fitted(str.split, lowercase=True)
    np.testing.assert_array_equal(model.predict_proba(upper), model.predict_proba(TEXTS))


def test_words_with_blanks(tmp_path):
    model = fitted(pairs)
    names = model._model.features.words.names()
    assert {"a small", "small cat", "cat", " "} < set(names)
    assert "" not in names
    assert len(model.nearest("cat", 50)) == len(names) - 1
    assert dict(model.keywords("cat", 5)).keys() <= set(names)
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m", tokenizer=pairs)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))


def test_vectors_of_words_that_the_function_would_cut():
    model = fitted(pairs, char_ngrams=(2, 3))
    words, index = model._model.features.words.names(), model._model.word_index
    assert index.vectors[words.index("a small")].tolist() != model.vectors(["a small"])[0].tolist()
    assert len(model.nearest("cat", 50)) == len(words) - 1


def test_saved_models_need_the_function_again(tmp_path):
    model = fitted(letters)
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"m: the model was trained with a tokenizer in Python, "):
        load_model(tmp_path / "m")
    loaded = load_model(tmp_path / "m", tokenizer=letters)
    assert loaded.tokenizer is letters
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS))
    loaded.partial_fit(["\u00df z"], ["food"])
    assert "\u00df" in loaded._model.features.columns
    fitted("words").save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"m: tokenizer must be None, as the model has 'words'$"):
        load_model(tmp_path / "m", tokenizer=letters)
    with pytest.raises(TypeError, match="^tokenizer must be a callable or None, got 'words'$"):
        load_model(tmp_path / "m", tokenizer="words")


def test_copies():
    model = fitted(letters)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    assert clone(model).tokenizer is letters
    search = GridSearchCV(TextClassifier(**SMALL), {"tokenizer": ["words", letters]}, cv=2)
    assert search.fit(TEXTS, LABELS).best_params_["tokenizer"] in ("words", letters)


def test_errors_of_the_function_name_the_text():
    def fail(text):
        if "bark" in text:
            raise KeyError(text)
        return text.split()

    with pytest.raises(KeyError) as caught:
        fitted(fail)
    assert caught.value.__notes__ == ["The tokenizer has raised this for text 2."]


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ("a b", "tokenizer must return a list of str, got str for text 0"),
        (None, "tokenizer must return a list of str, got NoneType for text 0"),
        (["a", 1], "tokenizer must return a list of str, got int in the list for text 0"),
        ([b"a"], "tokenizer must return a list of str, got bytes in the list for text 0"),
    ],
)
def test_results_of_other_types(result, problem):
    with pytest.raises(TypeError, match=f"^{problem}$"):
        fitted(lambda _: result)


def test_a_change_of_the_function_is_noticed():
    model = fitted(letters).set_params(tokenizer=pairs)
    with pytest.raises(ValueError, match="^tokenizer = .* differs from .*, with which the model"):
        model.partial_fit(TEXTS, LABELS)
