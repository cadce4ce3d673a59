"""Test how features in collections become arrays: dataframes, bags of ids, other columns."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")
pytest.importorskip("distributed")

import dask.array as da
import dask.bag as db

import dask
from ebagx.dask._features import features_of, fitted_features, matrix_of_ids, names_of
from support.dask_clusters import rows_of

BAGS = [[1, 2, 2], [], [4], [0, 3]]
COUNTS = [[0, 1, 2, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [1, 0, 0, 1, 0]]


def frame_of(columns):
    pandas, frames = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    return frames.from_pandas(pandas.DataFrame(columns), npartitions=2)


@pytest.mark.parametrize("num_partitions", [1, 3, 4])
def test_bags_of_ids(num_partitions):
    matrix = matrix_of_ids(db.from_sequence(BAGS, npartitions=num_partitions), 5)
    assert matrix.shape[1] == 5
    assert matrix.dtype == np.float32
    found = matrix.compute(scheduler="sync")
    assert sparse.issparse(found)
    np.testing.assert_array_equal(found.toarray(), COUNTS)
    none = matrix_of_ids(db.from_sequence(BAGS, npartitions=4).filter(lambda ids: 4 in ids), 5)
    assert none.compute(scheduler="sync").shape == (1, 5)


@pytest.mark.parametrize(
    ("bag", "error", "message"),
    [
        ([[1], ["a b"]], TypeError, "partition 1"),
        ([[1], "c d"], TypeError, "got 'c d' in partition 1; DaskText"),
        ([[1], [5]], IndexError, "partition 1"),
        ([[1], 2], TypeError, "got 2 in partition 1"),
    ],
)
def test_bags_of_something_else(bag, error, message):
    matrix = matrix_of_ids(db.from_sequence(bag, npartitions=2), 5)
    with pytest.raises(error) as caught:
        matrix.compute(scheduler="sync")
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert message in text


def test_dataframes():
    frame = frame_of({"a": [1, 2, 3], "b": [0.5, 0, 0], "c": [True, False, True]})
    assert names_of(frame).tolist() == ["a", "b", "c"]
    assert names_of(frame_of({1: [1, 2]})) is None
    array = features_of(frame)
    np.testing.assert_array_equal(array.compute(scheduler="sync")[:, 1], [0.5, 0, 0])
    for column in (["x", "y"], [None, "x"], np.array(["2020-01-01"] * 2, "M8[s]")):
        with pytest.raises(ValueError, match=r"got column 'bad' of dtype .*DaskTextVectorizer"):
            features_of(frame_of({"a": [1, 2], "bad": column}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: da.zeros(6), "got Array of 1 dimensions"),
        (lambda: da.zeros((6, 2, 2)), "got Array of 3 dimensions"),
        (lambda: dask.delayed(np.zeros((2, 2))), "got Delayed"),
        (lambda: db.from_sequence([1]), "got Bag"),
        (lambda: frame_of({"a": [1, 2]})["a"], "got Series"),
    ],
)
def test_other_collections(make, message):
    with pytest.raises(TypeError, match=f"2-D array or a dataframe of Dask, {message}"):
        features_of(make())
    if "Bag" not in message:
        with pytest.raises(TypeError, match=message):
            fitted_features(make(), 2, None)


def test_other_columns_than_those_of_fit():
    frame, names = frame_of({"a": [1, 2], "b": [3, 4]}), np.array(["a", "b"], object)
    assert fitted_features(frame, 2, names).shape[1] == 2
    assert fitted_features(frame, 2, None).shape[1] == 2
    assert fitted_features(da.zeros((3, 2)), 2, names).shape[1] == 2
    with pytest.raises(ValueError, match="the 3 columns of the data of fit, got 2"):
        fitted_features(da.zeros((3, 2)), 3, None)
    with pytest.raises(ValueError, match=r"got 'b' in place of 'a': X\[list\(model"):
        fitted_features(frame[["b", "a"]], 2, names)
    rows = rows_of(sparse.csr_matrix((4, 2)), (1, 3), known=False)
    assert fitted_features(rows, 2, None) is rows
