"""Test that estimators for data in memory name `ebagx.dask` when they get collections of Dask."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")
pytest.importorskip("dask.array")

import dask.array as da
import dask.bag as db

from ebagx.sklearn import (
    EmbeddingBagClassifier,
    EmbeddingBagRegressor,
    EmbeddingBagTransformer,
    TextEmbedder,
    TextVectorizer,
)
from ebagx.text import TextClassifier, WordVectors

COUNTS = sparse.csr_array(np.eye(4, dtype=np.float32))
TABLE = np.eye(4, dtype=np.float32)
TRAINED = [EmbeddingBagClassifier, EmbeddingBagRegressor]


def sparse_array():
    return da.from_array(np.eye(4, dtype=np.float32), chunks=2).map_blocks(sparse.csr_array)


def refused(name, kind):
    return pytest.raises(TypeError, match=rf"^{name} is a \w*{kind} of Dask, .*: use ebagx\.dask, ")


@pytest.mark.parametrize("make", TRAINED)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_x_is_refused(make, method):
    model = make(max_iter=1)
    classes = {"classes": [0, 1]} if (make, method) == (TRAINED[0], "partial_fit") else {}
    with refused("X", "Array"):
        getattr(model, method)(sparse_array(), [0, 1, 0, 1], **classes)
    assert not hasattr(model, "embedding_")


@pytest.mark.parametrize("make", TRAINED)
def test_y_is_refused(make):
    with refused("y", "Array"):
        make(max_iter=1).fit(COUNTS, da.from_array(np.array([0, 1, 0, 1])))


@pytest.mark.parametrize("make", TRAINED)
def test_predictions_are_refused(make):
    model = make(max_iter=1).fit(COUNTS, [0, 1, 0, 1])
    with refused("X", "Array"):
        model.predict(sparse_array())
    lazy = sparse_array().map_blocks(model.predict, drop_axis=1, dtype=model.predict(COUNTS).dtype)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), model.predict(COUNTS))


def test_the_transformer_refuses():
    with refused("X", "Array"):
        EmbeddingBagTransformer(TABLE).fit(sparse_array())


def test_texts_are_refused():
    texts = db.from_sequence(["a cat", "a soup"])
    with refused("X", "Bag"):
        TextClassifier().fit(texts, ["animal", "food"])
    with refused("y", "Bag"):
        TextClassifier().fit(["a cat", "a soup"], texts)
    with refused("raw_documents", "Bag"):
        TextVectorizer().fit(texts)
    with refused("raw_documents", "Bag"):
        TextEmbedder(WordVectors.of(["cat"], TABLE[:1])).fit(texts)


def test_columns_of_data_frames_are_refused():
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = dd.from_pandas(pd.DataFrame({"text": ["a cat", "a soup"]}), npartitions=1)
    with refused("X", "Series"):
        TextClassifier().fit(frame["text"], ["animal", "food"])
    with refused("X", "DataFrame"):
        EmbeddingBagClassifier().fit(frame, ["animal", "food"])
