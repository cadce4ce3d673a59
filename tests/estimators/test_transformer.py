"""Test scikit-learn's rules, the numbers, the memory and the input of EmbeddingBagTransformer."""

import pickle

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils.estimator_checks import parametrize_with_checks

import ebagx
from ebagx.datasets import load_wordnet10
from ebagx.sklearn import EmbeddingBagClassifier, EmbeddingBagTransformer
from support.memory import peak

MODES = ("sum", "mean", "sqrtn", "max", "min")
TEXTS = ["to be or not to be", "be quick", "", "to not be is not to be"]


@parametrize_with_checks(
    [
        *(EmbeddingBagTransformer(n_components=3, mode=mode) for mode in MODES),
        EmbeddingBagTransformer(normalize="l2"),
        EmbeddingBagTransformer(n_components=1, mode="sqrtn", normalize="l2", num_threads=2),
    ]
)
def test_scikit_learn_rules(estimator, check):
    check(estimator)


@pytest.fixture
def counts():
    """Positive and negative weights, an empty row, and a row whose weights add up to 0."""
    dense = np.array([[2.0, 0, -1, 0], [0, 0, 0, 0], [0, 3, 0, 4], [1, 0, -1, 0]])
    return sparse.csr_array(dense)


@pytest.fixture
def table():
    return np.random.default_rng(0).standard_normal((4, 5))


def pooled(dense, table, mode):
    """The formulas, row by row."""
    result = np.zeros((len(dense), table.shape[1]))
    for row, out in zip(dense, result, strict=True):
        members = row != 0
        if not members.any():
            continue
        if mode in ("max", "min"):
            out[:] = getattr(table[members], mode)(axis=0)
            continue
        divisor = {"sum": 1, "mean": np.abs(row).sum(), "sqrtn": np.sqrt((row**2).sum())}[mode]
        if divisor:
            out[:] = row @ table / divisor
    return result


@pytest.mark.parametrize("normalize", [None, "l2"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("convert", [sparse.csr_array, sparse.csc_matrix, sparse.csr_array.toarray])
def test_values(counts, table, mode, normalize, convert):
    expected = pooled(counts.toarray(), table, mode)
    if normalize:
        lengths = np.linalg.norm(expected, axis=1, keepdims=True)
        expected /= np.where(lengths == 0, 1, lengths)
    transformer = EmbeddingBagTransformer(table, mode=mode, normalize=normalize)
    result = transformer.fit_transform(convert(counts))
    np.testing.assert_allclose(result, expected, rtol=1e-13, atol=1e-15)


def test_max_takes_stored_zeros_for_members(table):
    X = sparse.csr_array(([0.0, -5.0], [1, 2], [0, 2]), shape=(1, 4))
    result = EmbeddingBagTransformer(table, mode="max").fit_transform(X)
    np.testing.assert_array_equal(result[0], table[1:3].max(axis=0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("of_values", [np.float32, np.float64, np.int64])
def test_the_dtype_is_that_of_a_given_table_but_not_half(counts, table, dtype, of_values):
    table = table.astype(dtype)
    counts = abs(counts)
    result = EmbeddingBagTransformer(table).fit_transform(counts.astype(of_values))
    assert result.dtype == np.promote_types(dtype, np.float32)
    np.testing.assert_array_equal(result, ebagx.embedding_bag(counts, table))


def test_rows_keep_their_bits_beside_rows_with_negative_values(counts, table):
    transformer = EmbeddingBagTransformer(table).fit(counts)
    together = transformer.transform(counts)
    alone = [transformer.transform(counts[i : i + 1])[0] for i in range(counts.shape[0])]
    np.testing.assert_array_equal(together, alone)


def test_the_mean_is_that_of_the_classifier(counts):
    classifier = EmbeddingBagClassifier(max_iter=1, embedding_dim=5, random_state=0)
    classifier.fit(counts, [0, 1, 0, 1])
    transformer = EmbeddingBagTransformer(classifier.embedding_).fit(counts)
    result = transformer.transform(counts)
    np.testing.assert_allclose(result, classifier.transform(counts), rtol=1e-6, atol=1e-9)


def test_bfloat16_table(counts, table):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    table = table.astype(ml_dtypes.bfloat16)
    result = EmbeddingBagTransformer(table, normalize="l2").fit_transform(counts)
    assert result.dtype == np.float32


@pytest.mark.parametrize(
    ("of_values", "dtype"), [("f4", "f4"), ("i1", "f4"), ("f8", "f8"), ("i8", "f8"), ("g", "f8")]
)
def test_the_dtype_of_a_drawn_table_holds_the_values(counts, of_values, dtype):
    transformer = EmbeddingBagTransformer(random_state=0)
    result = transformer.fit_transform(counts.astype(of_values))
    assert result.dtype == transformer.embedding_.dtype == np.dtype(dtype)
    in_double = EmbeddingBagTransformer(random_state=0).fit(counts).embedding_
    np.testing.assert_array_equal(transformer.embedding_, in_double.astype(dtype))


def random_bags(rng, shape, density):
    return sparse.csr_array(rng.random(shape) * (rng.random(shape) < density))


def test_drawn_table_is_a_random_projection():
    """Mean 0, variance 1 / n_components; lengths and cosines are kept."""
    rng = np.random.default_rng(1)
    X = random_bags(rng, (60, 3000), density=0.02)
    transformer = EmbeddingBagTransformer(n_components=2000, mode="sum", random_state=0).fit(X)
    n = transformer.embedding_.size
    assert abs(transformer.embedding_.mean()) < 4 / np.sqrt(2000 * n)
    assert abs(2000 * transformer.embedding_.var() - 1) < 4 * np.sqrt(2 / n)
    lengths = (X**2).sum(axis=1)
    spread = (transformer.transform(X) ** 2).sum(axis=1) / lengths - 1
    assert np.abs(spread).max() < 4.5 * np.sqrt(2 / 2000)
    unit = transformer.set_params(mode="sqrtn").fit(X).transform(X)
    cosines = (X @ X.T).toarray() / np.sqrt(np.outer(lengths, lengths))
    assert np.abs(unit @ unit.T - cosines).max() < 5 * np.sqrt(2 / 2000)


def test_random_state(counts):
    first, same, other = (
        EmbeddingBagTransformer(random_state=seed).fit_transform(counts) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("mode", MODES)
def test_same_bits_for_any_number_of_threads(mode):
    X = random_bags(np.random.default_rng(0), (3000, 500), density=0.05)
    results = [
        EmbeddingBagTransformer(
            mode=mode, normalize="l2", random_state=0, num_threads=num_threads
        ).fit_transform(X)
        for num_threads in (1, 2, 3)
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def is_shared(transformer, table):
    return np.shares_memory(transformer.embedding_, table)


def test_a_given_table_is_not_copied(counts, table):
    table.flags.writeable = False
    transformer = EmbeddingBagTransformer(table).fit(counts)
    assert is_shared(transformer, table)
    assert is_shared(clone(transformer).fit(counts), table)
    assert is_shared(EmbeddingBagTransformer(table[:, :3]).fit(counts), table)


def test_memory_map(counts, table, tmp_path):
    np.save(tmp_path / "table.npy", table)
    mapped = np.load(tmp_path / "table.npy", mmap_mode="r")
    transformer = clone(EmbeddingBagTransformer(mapped)).fit(counts)
    assert is_shared(transformer, mapped)
    np.testing.assert_array_equal(
        transformer.transform(counts), EmbeddingBagTransformer(table).fit_transform(counts)
    )


def test_clone_keeps_parameters_and_output(table):
    original = EmbeddingBagTransformer(table, mode="sum", random_state=3).set_output(
        transform="default"
    )
    copied = clone(original)
    assert copied.get_params() == original.get_params()
    assert copied._sklearn_output_config == original._sklearn_output_config
    assert not hasattr(copied, "embedding_")


def test_pickle(counts, table):
    transformer = EmbeddingBagTransformer(table).fit(counts)
    data = pickle.dumps(transformer)
    assert len(data) < 2 * table.nbytes + 800
    np.testing.assert_array_equal(
        pickle.loads(data).transform(counts), transformer.transform(counts)
    )


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("of_values", "of_table", "copied"),
    [("f4", "f4", 0), ("f8", "f8", 0), ("f8", "f4", 4), ("i8", "f4", 4)],
)
@pytest.mark.parametrize("of_indices", ["i4", "i8"])
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_memory(of_values, of_table, copied, of_indices, method):
    """No matrix of 4 GB, no copy of the indices, at most one of the values as the table's."""
    n_bags, n_features, length = 1000, 1_000_000, 200
    rng = np.random.default_rng(0)
    X = sparse.csr_array(
        (
            np.ones(n_bags * length, of_values),
            rng.integers(n_features, size=n_bags * length).astype(of_indices),
            (np.arange(n_bags + 1) * length).astype(of_indices),
        ),
        shape=(n_bags, n_features),
    )
    transformer = EmbeddingBagTransformer(np.ones((n_features, 2), of_table)).fit(X)
    most = peak(lambda: getattr(transformer, method)(X))
    result = n_bags * 2 * np.dtype(of_table).itemsize
    assert most < X.nnz * copied + result + 60_000


def test_table_is_drawn_without_a_copy_in_float64():
    X = sparse.csr_array((2, 100_000), dtype=np.float32)
    transformer = EmbeddingBagTransformer(n_components=40)
    assert peak(lambda: transformer.fit(X)) < 100_000 * 40 * 4 * 2 + 2_000_000  # old and new


@pytest.mark.parametrize("normalize", [None, "l2"])
@pytest.mark.parametrize(
    "vectorizer",
    [
        CountVectorizer(),
        CountVectorizer(binary=True, dtype=np.float32),
        TfidfVectorizer(),
        TfidfVectorizer(dtype=np.float32),
        HashingVectorizer(n_features=50, alternate_sign=False),
        HashingVectorizer(n_features=50, dtype=np.float32),
    ],
    ids=str,
)
def test_behind_text_vectorizers(vectorizer, normalize):
    transformer = EmbeddingBagTransformer(
        n_components=7, mode="sum", normalize=normalize, random_state=0
    )
    pipeline = make_pipeline(vectorizer, transformer)
    result = pipeline.fit_transform(TEXTS)
    X = vectorizer.transform(TEXTS)
    expected = X @ transformer.embedding_
    if normalize:
        expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-30)
    assert result.dtype == (np.float32 if X.dtype == np.float32 else np.float64)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
    assert not result[2].any()
    np.testing.assert_allclose(pipeline.transform(TEXTS[:2]), result[:2], rtol=1e-5, atol=1e-6)


def test_behind_a_feature_hasher():
    hasher = FeatureHasher(n_features=20, input_type="string", alternate_sign=False)
    transformer = EmbeddingBagTransformer(n_components=4, random_state=0)
    bags = [["a", "b", "b"], [], ["c"]]
    result = make_pipeline(hasher, transformer).fit_transform(bags)
    X = hasher.transform(bags).toarray()
    np.testing.assert_allclose(result, pooled(X, transformer.embedding_, "mean"), rtol=1e-12)


def test_behind_a_multi_label_binarizer():
    """It takes no `y`, so that a Pipeline cannot contain it."""
    X = MultiLabelBinarizer(sparse_output=True).fit_transform([["a", "b"], [], ["c", "a"]])
    table = np.array([[1.0, 2], [3, 4], [5, 6]])
    result = EmbeddingBagTransformer(table).fit_transform(X)
    np.testing.assert_array_equal(result, [[2, 3], [0, 0], [3, 4]])


def test_names_of_the_columns(counts, table):
    transformer = EmbeddingBagTransformer(table[:, :2]).fit(counts)
    names = ["embeddingbagtransformer0", "embeddingbagtransformer1"]
    assert transformer.get_feature_names_out().tolist() == names
    pipeline = make_pipeline(CountVectorizer(), EmbeddingBagTransformer(n_components=2)).fit(TEXTS)
    assert pipeline.get_feature_names_out().tolist() == names


def test_set_output(counts, table):
    pandas = pytest.importorskip("pandas")
    transformer = EmbeddingBagTransformer(table[:, :2]).set_output(transform="pandas")
    frame = transformer.fit_transform(counts)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.columns.tolist() == transformer.get_feature_names_out().tolist()
    np.testing.assert_array_equal(
        frame, transformer.set_output(transform="default").transform(counts)
    )


@pytest.mark.slow
def test_random_projection_of_glosses_tells_topics_apart():
    texts, labels = load_wordnet10()
    model = make_pipeline(
        TfidfVectorizer(dtype=np.float32),
        EmbeddingBagTransformer(n_components=256, mode="sum", random_state=0),
        LogisticRegression(max_iter=200),
    )
    assert cross_val_score(model, texts[:3000], labels[:3000], cv=3).mean() > 0.4  # chance is 0.1


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "^n_components must be at least 1, got 0$"),
        ({"n_components": 2.0}, TypeError, "^n_components must be an integer, got 2.0$"),
        ({"mode": "median"}, ValueError, "^mode must be one of 'sum', .*, got 'median'$"),
        ({"normalize": "l1"}, ValueError, "^normalize must be one of None, 'l2', got 'l1'$"),
        ({"normalize": True}, ValueError, "^normalize must be one of None, 'l2', got True$"),
        ({"num_threads": 0}, ValueError, "^num_threads must be at least 1 or None, got 0$"),
        ({"weight": np.ones(4)}, ValueError, "^weight must be 2-D .* got 1-D$"),
        ({"weight": np.ones((4, 2), int)}, TypeError, "^weight must be float16, .* got int64$"),
        (
            {"weight": np.ones((3, 2))},
            ValueError,
            "^weight must have a row for each of the 4 features of X, got 3 rows$",
        ),
        (
            {"weight": np.ones((5, 2))},
            ValueError,
            "^weight must have a row for each of the 4 features of X, got 5 rows$",
        ),
    ],
)
def test_bad_parameters(counts, parameters, error, message):
    with pytest.raises(error, match=message):
        EmbeddingBagTransformer(**parameters).fit(counts)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("convert", [sparse.csr_array, sparse.csr_array.toarray])
def test_values_must_be_finite(counts, table, value, convert):
    transformer = EmbeddingBagTransformer(table).fit(counts)
    counts.data[1] = value
    for method in (transformer.fit, transformer.transform):
        with pytest.raises(ValueError, match="NaN|infinity"):
            method(convert(counts))


def test_nan_in_the_table_stays_in_its_bags(counts, table):
    table[1] = np.nan
    result = EmbeddingBagTransformer(table, normalize="l2").fit_transform(counts)
    assert np.isnan(result).all(axis=1).tolist() == [False, False, True, False]
    assert np.isfinite(result[[0, 1, 3]]).all()


def test_another_number_of_columns(counts):
    transformer = EmbeddingBagTransformer().fit(counts)
    with pytest.raises(ValueError, match="has 3 features, but .* is expecting 4"):
        transformer.transform(counts[:, :3])


def test_texts_need_a_vectorizer(counts):
    fitted = EmbeddingBagTransformer().fit(counts)
    for method in (EmbeddingBagTransformer().fit, fitted.transform):
        with pytest.raises(ValueError, match=r"got texts; .*, EmbeddingBagTransformer\(\)\)$"):
            method(TEXTS)


def test_not_fitted(counts):
    with pytest.raises(NotFittedError):
        EmbeddingBagTransformer().transform(counts)


def test_normalize_is_checked_where_it_is_used():
    transformer = EmbeddingBagTransformer(np.eye(3)).fit(np.eye(3))
    transformer.set_params(normalize="l3")
    with pytest.raises(ValueError, match="^normalize must be one of None, 'l2', got 'l3'"):
        transformer.transform(np.eye(3))
