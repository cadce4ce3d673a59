"""Test the messages about input of another kind: each names what takes that kind."""

import re

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

import pandas as pd

from ebagx import csr_from_bags
from ebagx.sklearn import (
    EmbeddingBagClassifier,
    EmbeddingBagRegressor,
    EmbeddingBagTransformer,
    TextVectorizer,
)
from support.estimator_cases import make

TEXTS, IDS, Y = ["a cat", "a soup"], [[1, 2], [3]], ["animal", "food"]
VECTORIZER = "make_pipeline(TextVectorizer(), EmbeddingBagClassifier())"
COLUMN = "make_column_transformer((TextVectorizer(), {})), EmbeddingBagClassifier())"
FROM_BAGS = "lists of ids; ebagx.csr_from_bags(X, num_embeddings) makes a matrix of them"


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (TEXTS, VECTORIZER),
        (np.array(TEXTS), VECTORIZER),
        (pd.Series(TEXTS), VECTORIZER),
        (np.array([[1, "a cat"], [2, "a soup"]], object), "texts in column 1; "),
        (np.array([["a cat"], ["a soup"]]), COLUMN.format(0)),
        (pd.DataFrame({"n": [1, 2], "{text}": TEXTS}), COLUMN.format("'{text}'")),
        (IDS, FROM_BAGS),
        (tuple(map(tuple, IDS)), FROM_BAGS),
        (pd.Series([[1, 2], [3, 4]]), FROM_BAGS),
        ([{1, 2}, {3, 4}], FROM_BAGS),
        ([np.arange(2), np.arange(3)], FROM_BAGS),
        ([["a", "cat"], ["soup"]], "lists of words; TextVectorizer makes counts of texts"),
        ([{"a": 1}, {"b": 2}], "make_pipeline(DictVectorizer(), EmbeddingBagClassifier())"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_x_of_another_kind(X, message):
    with pytest.raises(ValueError, match="^X must hold counts or weights, got ") as caught:
        EmbeddingBagClassifier().fit(X, Y)
    assert message in str(caught.value)
    model, features, y = make("softmax")
    with pytest.raises(ValueError, match="^X must hold counts or weights, got "):
        model.fit(features, y).predict(X)
    name = "EmbeddingBagTransformer"
    with pytest.raises(ValueError, match="^X must hold counts or weights, got "):
        EmbeddingBagTransformer(np.eye(9, dtype=np.float32)).fit(X)
    with pytest.raises(ValueError, match=f"(?s){name}|csr_from_bags|words"):
        EmbeddingBagTransformer(np.eye(9, dtype=np.float32)).fit(X)


def test_the_ways_out_work():
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline

    frame = pd.DataFrame({"n": [1, 2], "text": TEXTS})
    transformer = make_column_transformer((TextVectorizer(), "text"))
    assert len(make_pipeline(transformer, EmbeddingBagClassifier()).fit(frame, Y).predict(frame))
    assert len(EmbeddingBagClassifier().fit(csr_from_bags(IDS, 9), Y).classes_) == 2


def test_lists_that_are_a_matrix():
    assert len(EmbeddingBagClassifier().fit([[1, 2], [3, 4]], Y).classes_) == 2


X = sparse.csr_array(np.eye(2, dtype=np.float32))
BINARIZER = "MultiLabelBinarizer().fit_transform(y) of scikit-learn makes an indicator of them"


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["a"], ["a", "b"]], f"y must be an array, got lists of labels; {BINARIZER}"),
        ([("a",), ("a", "b")], BINARIZER),
        ([{"a"}, {"b"}], BINARIZER),
        (pd.Series([["a"], ["b"]]), BINARIZER),
        ([["a", "b"], ["c", "d"]], "; MultiLabelBinarizer makes an indicator of lists of labels"),
        ([0.5, 0.25], "^Unknown label type: continuous; .*; EmbeddingBagRegressor learns numbers"),
        (np.array([[0.5, 1], [1, 2]]), "-multioutput; .*; EmbeddingBagRegressor learns numbers"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_y_of_another_kind(y, message):
    pattern = message if message[0] == "^" or ".*" in message else re.escape(message)
    with pytest.raises(ValueError, match=pattern):
        EmbeddingBagClassifier().fit(X, y)


def test_labels_for_a_regressor():
    for y in (["a", "b"], np.array(["a", "b"])):
        message = "^y must hold numbers: .*; EmbeddingBagClassifier learns labels$"
        with pytest.raises(ValueError, match=message):
            EmbeddingBagRegressor().fit(X, y)
    with pytest.raises(ValueError, match="got lists of labels"):
        EmbeddingBagRegressor().fit(X, [["a"], ["a", "b"]])


@pytest.mark.parametrize("verbose", [1, 2, np.int64(1), np.True_])
def test_verbose_may_be_a_number(verbose, capsys):
    pytest.importorskip("tqdm")
    EmbeddingBagClassifier(verbose=verbose).fit(X, Y)
    assert "bag/s" in capsys.readouterr().err
    EmbeddingBagClassifier(verbose=0).fit(X, Y)
    assert capsys.readouterr().err == ""
