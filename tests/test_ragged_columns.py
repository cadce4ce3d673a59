"""Test columns and arrays of other packages as bags, each where its package is installed."""

import importlib

import numpy as np
import pytest

from ebagx import EmbeddingBag, csr_from_bags, embedding_bag, embedding_bag_backward
from support.errors import large_table, rejected

TABLE = large_table()
BAGS = [[3, 1, 1], [], [4], [0, 2]]
WEIGHTS = [[0.5, 1.0, -2.0], [], [4.0], [0.25, 0.0]]


def pyarrow(bags, dtype):
    pa = importlib.import_module("pyarrow")
    return pa, pa.array(bags, pa.list_(pa.from_numpy_dtype(dtype)))


def pyarrow_list(bags, dtype):
    return pyarrow(bags, dtype)[1]


def pyarrow_large(bags, dtype):
    pa, column = pyarrow(bags, dtype)
    return column.cast(pa.large_list(pa.from_numpy_dtype(dtype)))


def pyarrow_view(bags, dtype):
    pa, _ = pyarrow(bags, dtype)
    return pa.array(bags, pa.list_view(pa.from_numpy_dtype(dtype)))


def pyarrow_slice(bags, dtype):
    return pyarrow([[1], *bags, [2]], dtype)[1][1:-1]


def pyarrow_chunks(bags, dtype):
    pa, _ = pyarrow(bags, dtype)
    return pa.chunked_array([pyarrow(bags[:1], dtype)[1], pyarrow(bags[1:], dtype)[1]])


def pyarrow_reader(bags, dtype):
    pa, column = pyarrow(bags, dtype)
    batch = pa.record_batch({"bags": column})
    return pa.RecordBatchReader.from_batches(batch.schema, [batch[:1], batch[1:]])


def pyarrow_scalars(bags, dtype):
    return list(pyarrow(bags, dtype)[1])


def pyarrow_in_a_list(bags, dtype):
    pa, _ = pyarrow(bags, dtype)
    return [pa.array(bag, pa.from_numpy_dtype(dtype)) for bag in bags]


def polars(bags, dtype):
    pl = importlib.import_module("polars")
    names = {"i8": pl.Int64, "u4": pl.UInt32, "f8": pl.Float64, "f4": pl.Float32}
    return pl.Series("bags", bags, dtype=pl.List(names[dtype.str[1:]]))


def polars_column(bags, dtype):
    return polars(bags, dtype).to_frame()["bags"]


def polars_chunks(bags, dtype):
    return polars(bags[:2], dtype).append(polars(bags[2:], dtype))


def polars_in_a_list(bags, dtype):
    return list(polars(bags, dtype))


def pandas_objects(bags, dtype):  # noqa: ARG001
    return importlib.import_module("pandas").Series(bags)


def pandas_arrow(bags, dtype):
    _, column = pyarrow(bags, dtype)
    pd = importlib.import_module("pandas")
    return pd.Series(column, dtype=pd.ArrowDtype(column.type))


def pandas_in_a_list(bags, dtype):
    pd = importlib.import_module("pandas")
    return [pd.Series(bag, dtype=dtype) for bag in bags]


def pandas_groups(bags, dtype):
    pd = importlib.import_module("pandas")
    numbers = np.repeat(range(len(bags)), list(map(len, bags)))
    flat = pd.Series([entry for bag in bags for entry in bag], dtype=dtype)
    groups = flat.groupby(numbers).agg(list)
    return groups.reindex(range(len(bags)), fill_value=[])


def nanoarrow(bags, dtype):
    return importlib.import_module("nanoarrow").Array(pyarrow(bags, dtype)[1])


def nanoarrow_stream(bags, dtype):
    return importlib.import_module("nanoarrow").ArrayStream(pyarrow(bags, dtype)[1])


def duckdb(bags, dtype):
    connection = importlib.import_module("duckdb").connect()
    kind = {"i8": "BIGINT", "u4": "UINTEGER", "f8": "DOUBLE", "f4": "FLOAT"}[dtype.str[1:]]
    rows = ", ".join(f"({b}, {bag}::{kind}[])" for b, bag in enumerate(bags))
    return connection.sql(f"SELECT bag FROM (VALUES {rows}) AS t(b, bag) ORDER BY b")


def awkward(bags, dtype):
    ak = importlib.import_module("awkward")
    importlib.import_module("pyarrow")
    return ak.to_arrow(ak.values_astype(ak.Array(bags), dtype))


MAKERS = [
    *(pyarrow_list, pyarrow_large, pyarrow_view, pyarrow_slice, pyarrow_chunks, pyarrow_reader),
    *(pyarrow_scalars, pyarrow_in_a_list, polars, polars_column, polars_chunks, polars_in_a_list),
    *(pandas_objects, pandas_arrow, pandas_in_a_list, pandas_groups, nanoarrow, nanoarrow_stream),
    *(duckdb, awkward),
]
makers = pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)


def made(maker, bags, dtype):
    try:
        return maker(bags, np.dtype(dtype))
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")


@makers
@pytest.mark.parametrize("dtype", ["i8", "u4"])
def test_ids(maker, dtype):
    expected = embedding_bag(BAGS, TABLE)
    np.testing.assert_array_equal(embedding_bag(made(maker, BAGS, dtype), TABLE), expected)
    matrix = csr_from_bags(made(maker, BAGS, dtype), 5)
    np.testing.assert_array_equal(matrix.indices, [3, 1, 1, 4, 0, 2])


@makers
@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_weights(maker, dtype):
    bag = EmbeddingBag(5, 2, mode="sum", _weight=TABLE)
    expected = bag(BAGS, per_sample_weights=WEIGHTS)
    np.testing.assert_array_equal(
        bag(BAGS, per_sample_weights=made(maker, WEIGHTS, dtype)), expected
    )
    bag.backward(np.ones((4, 2)))
    np.testing.assert_array_equal(bag.per_sample_weights_grad, [15, 7, 7, 19, 3, 11])


@pytest.mark.parametrize("maker", [pyarrow_list, polars, pandas_arrow, nanoarrow])
def test_null_ids(maker):
    column = made(maker, [[1], [2, None]], "i8")
    with rejected(ValueError, "input[1][1] is null: drop or replace it"):
        embedding_bag(column, TABLE)


@pytest.mark.parametrize("maker", [pyarrow_list, polars, pandas_arrow, nanoarrow])
def test_null_lists_are_empty_bags(maker):
    column = made(maker, [[1], None, [2]], "i8")
    expected = embedding_bag([[1], [], [2]], TABLE)
    np.testing.assert_array_equal(embedding_bag(column, TABLE), expected)


@pytest.mark.parametrize("maker", [pyarrow_large, polars])
def test_memory_is_shared(maker):
    column = made(maker, BAGS, "i8")
    first = csr_from_bags(column, 5)
    assert np.shares_memory(first.indices, csr_from_bags(column, 5).indices)
    assert np.shares_memory(first.indptr, csr_from_bags(column, 5).indptr)


class TestPandas:
    @pytest.fixture(autouse=True)
    def pd(self):
        return pytest.importorskip("pandas")

    def test_frame_of_ids_is_2d(self, pd):
        frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
        expected = embedding_bag(frame.to_numpy(), TABLE)
        np.testing.assert_array_equal(embedding_bag(frame, TABLE), expected)

    def test_frame_of_lists(self, pd):
        frame = pd.DataFrame({"ids": BAGS, "weights": WEIGHTS})
        with rejected(TypeError, "input is a table of lists: pass one of its columns"):
            embedding_bag(frame, TABLE)
        pooled = embedding_bag(frame.ids, TABLE, mode="sum", per_sample_weights=frame.weights)
        expected = embedding_bag(BAGS, TABLE, mode="sum", per_sample_weights=WEIGHTS)
        np.testing.assert_array_equal(pooled, expected)

    def test_flat_columns(self, pd):
        expected = embedding_bag([1, 3, 4], TABLE, [0, 2])
        for dtype in ("int64", "Int64", "UInt8", "category"):
            ids, offsets = pd.Series([1, 3, 4], dtype=dtype), pd.Series([0, 2], dtype=dtype)
            np.testing.assert_array_equal(embedding_bag(ids, TABLE, offsets), expected)

    def test_missing(self, pd):
        ids = pd.Series([1, 3, None], dtype="Int64")
        with rejected(ValueError, "input[2] is missing: drop or replace it"):
            embedding_bag(ids, TABLE, [0])
        with rejected(ValueError, "input[1][2] is missing: drop or replace it"):
            embedding_bag([[1], ids], TABLE)
        with rejected(TypeError, "input[0][1] must be an integer, got <NA>"):
            embedding_bag([[1, pd.NA]], TABLE)
        weights = pd.Series([1.0, None, 2.0], dtype="Float64")
        message = "per_sample_weights[1] is missing: give every lookup a weight"
        with rejected(ValueError, message):
            embedding_bag([1, 3, 4], TABLE, [0], mode="sum", per_sample_weights=weights)

    @pytest.mark.parametrize("dtype", ["Int64", "int64[pyarrow]"])
    def test_missing_in_a_frame(self, pd, dtype):
        if "pyarrow" in dtype:
            pytest.importorskip("pyarrow")
        frame = pd.DataFrame({"a": [1, None], "b": [3, 4]}, dtype=dtype)
        with rejected(ValueError, "input[1, 0] is missing: drop or replace it"):
            embedding_bag(frame, TABLE)
        pooled = embedding_bag(frame, TABLE, invalid="skip")
        np.testing.assert_array_equal(pooled, embedding_bag([[1, 3], [4]], TABLE))
        pooled = embedding_bag(frame[1:].fillna(2), TABLE)
        np.testing.assert_array_equal(pooled, embedding_bag([[2, 4]], TABLE))

    def test_missing_in_a_frame_of_floats(self, pd):
        with rejected(TypeError, "input must be integers, got float64"):
            embedding_bag(pd.DataFrame({"a": [1, None], "b": [3, 4]}), TABLE)

    def test_missing_in_columns_that_are_no_numbers(self, pd):
        words = pd.Series(["a", None, "b"])
        message = "input is categorical: pass its codes, for pandas those in .cat.codes"
        pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
        encoded = pa.array(["a", None, "b"]).dictionary_encode()
        for categories in (
            words.astype("category"),
            words.dropna().astype("category"),
            encoded,
            pa.chunked_array([encoded]),
            pd.Series(encoded, dtype=pd.ArrowDtype(encoded.type)),
            pl.Series(["a", None, "b"], dtype=pl.Categorical),
            pl.Series(["a", None, "b"], dtype=pl.Enum(["a", "b"])),
        ):
            with rejected(TypeError, message):
                embedding_bag(categories, TABLE, [0])
        codes = words.astype("category").cat.codes
        pooled = embedding_bag(codes, TABLE, [0], mode="sum", invalid="skip")
        np.testing.assert_array_equal(pooled, [TABLE[0] + TABLE[1]])
        for dtype in ("str", "string[pyarrow]", "boolean"):
            column = pd.Series([True, None]) if dtype == "boolean" else words
            with pytest.raises(TypeError, match="^input must be integers, got "):
                embedding_bag(column.astype(dtype), TABLE, [0])

    def test_empty_lists_alone(self, pd):
        pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
        empty = [[], []]
        for column in (pa.array(empty), pl.Series(empty), pd.Series(empty)):
            np.testing.assert_array_equal(embedding_bag(column, TABLE), np.zeros((2, 2)))

    def test_backward_from_a_series_of_weights(self, pd):
        gradient = embedding_bag_backward(
            np.ones((2, 2)),
            [[1, 2], [3]],
            TABLE,
            mode="sum",
            per_sample_weights=pd.Series([[0.5, 0.5], [1.0]]),
        )
        np.testing.assert_array_equal(gradient.per_sample_weights, [7, 11, 15])


def test_tables():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"ids": BAGS, "weights": WEIGHTS})
    with rejected(
        TypeError, "input is an Arrow table of the columns ids, weights: pass one of them"
    ):
        embedding_bag(frame, TABLE)
    with rejected(TypeError, "input is an Arrow table of the columns ids: pass one of them"):
        embedding_bag(frame.select("ids"), TABLE)
    expected = embedding_bag([[1, 2]], TABLE)
    np.testing.assert_array_equal(
        embedding_bag(pl.DataFrame({"a": [1], "b": [2]}), TABLE), expected
    )


def test_awkward_says_what_to_pass():
    ak = pytest.importorskip("awkward")
    bags = ak.Array(BAGS)
    with pytest.raises(TypeError, match=r"pass awkward\.to_arrow\(x\), or awkward\.flatten\(x\)"):
        embedding_bag(bags, TABLE)
    offsets = np.cumsum([0, *ak.num(bags)])
    pooled = embedding_bag(ak.flatten(bags), TABLE, offsets, include_last_offset=True)
    np.testing.assert_array_equal(pooled, embedding_bag(BAGS, TABLE))
