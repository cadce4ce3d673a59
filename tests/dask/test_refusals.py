"""Test that clusters, folders and labels that will not do are refused at once, and say why."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("distributed")

import distributed

from ebagx.dask import (
    DaskEmbeddingBagClassifier,
    DaskEmbeddingBagRegressor,
    DaskTextVectorizer,
    estimate,
)
from ebagx.dask._checkpoint import check_folder, unfinished
from ebagx.dask._cluster import client_of
from ebagx.dask._storage import stored
from ebagx.dask._survey import all_labels, labels_of
from ebagx.optim import SGD
from ebagx.sklearn.parameters import check_parameters
from support import dask_cases as cases
from support.dask_clusters import rows_of
from support.wrong_parameters import refusals


def client_like(**options):
    workers = options.pop("workers", {"tcp://1": 1})
    given = {"status": "running", "asynchronous": False, **options}
    return SimpleNamespace(nthreads=lambda: workers, submit=None, **given)


def test_clients():
    good = client_like()
    assert client_of(good) is good
    with pytest.raises(ConnectionError, match="client is closed: connect a new one"):
        client_of(client_like(status="closed"))
    with pytest.raises(ValueError, match=r"client must be a synchronous one: Client\(address\)"):
        client_of(client_like(asynchronous=True))
    with pytest.warns(UserWarning, match="no workers yet: fit waits"):
        client_of(client_like(workers={}))


@pytest.mark.parametrize(
    "kind", [DaskEmbeddingBagClassifier, DaskEmbeddingBagRegressor, DaskTextVectorizer]
)
def test_every_parameter_refuses_wrong_values(kind):
    estimator = kind()
    for name in estimator.get_params():
        assert refusals(estimator, name, check_parameters)


def test_a_closed_client(two_workers):
    client = distributed.Client(two_workers.cluster, set_as_default=False)
    client.close()
    X, y = cases.labelled_bags(60)
    model = DaskEmbeddingBagClassifier(4, client=client)
    with pytest.raises(ConnectionError, match="client is closed"):
        model.fit(rows_of(X, (60,)), rows_of(y, (60,)))


@pytest.mark.parametrize("options", [{"n_shards": 2}, {}])
def test_momentum_on_several_shards(options):
    X, y = cases.labelled_bags(60)
    lengths = (60,) if options else (20, 40)
    model = DaskEmbeddingBagClassifier(
        optimizer=SGD(0.1, momentum=0.9), client=client_like(), **options
    )
    with pytest.raises(ValueError, match=r"momentum cannot train on several shards.*n_shards=1"):
        model.fit(rows_of(X, lengths), rows_of(y, lengths))
    assert not hasattr(model, "n_features_in_")


def test_one_shard_may_have_momentum(one_worker):
    X, y = cases.labelled_bags(60)
    model = DaskEmbeddingBagClassifier(
        optimizer=SGD(0.1, momentum=0.9), client=one_worker, max_iter=1
    )
    assert model.fit(rows_of(X, (60,)), rows_of(y, (60,))).n_iter_ == 1


@pytest.mark.parametrize("make", [DaskEmbeddingBagClassifier, DaskEmbeddingBagRegressor])
def test_groups(make):
    X, y = cases.labelled_bags(60)
    with pytest.raises(ValueError, match=r"groups must be None.*EmbeddingBag\w+ of ebagx.sklearn"):
        make(groups=[slice(None)], client=client_like()).fit(rows_of(X, (60,)), rows_of(y, (60,)))


def test_folders_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    for folder in (file, file / "inner"):
        with pytest.raises(OSError, match="checkpoint '.*' cannot be written: "):
            check_folder(folder)
    check_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    X, y = cases.labelled_bags(60)
    lazy = rows_of(X, (60,)), rows_of(y, (60,))
    with pytest.raises(OSError, match="cannot be written"):
        DaskEmbeddingBagClassifier(client=client_like(), checkpoint=file).fit(*lazy)
    with pytest.raises(TypeError, match="checkpoint must be a path or None, got ''"):
        DaskEmbeddingBagClassifier(client=client_like(), checkpoint="").fit(*lazy)


@pytest.mark.parametrize("content", ["{bad", "[1]", "{}", "null"])
def test_files_that_are_no_state(tmp_path, content):
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(ValueError, match="damaged .*; remove it, or give checkpoint another"):
        unfinished(tmp_path)


def test_blocks_that_have_gone(tmp_path):
    shards = cases.shards_of(
        *cases.labelled_bags(60)[:1], cases.one_hot(np.zeros(60, int), 2), (60,)
    )
    model, _ = cases.trained(shards, 90, 1, 1)
    block = pickle.loads(pickle.dumps(stored(model.contents[0][0], str(tmp_path), "block")))
    assert block.opened().num_rows == 90
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"has gone: another fit.*model.to_local\(\)"):
        block.opened()


@pytest.mark.parametrize(
    ("chunks", "kinds"),
    [
        ([[1, 2], ["a", "b"]], "<U1 and int64"),
        ([[0.0, 1.0], ["a"]], "<U1 and float64"),
        ([[1, 2], np.array(["b", 1], object)], "int and str"),
        ([[1, 2], np.array(["a", "b"], object)], "int and str"),
        ([[True, False], ["b", None]], "NoneType and str"),
    ],
)
def test_labels_of_several_types(chunks, kinds):
    with pytest.raises(TypeError, match=f"y must hold labels of one type.*, got {kinds}"):
        all_labels([labels_of(np.array(chunk)) for chunk in chunks])


def test_labels_of_like_types():
    chunks = [labels_of(np.array(chunk)) for chunk in ([1, 2], [2.0, 3.0], [True])]
    assert all_labels(chunks).classes.tolist() == [1.0, 2.0, 3.0]
    texts = [labels_of(np.array(["b", "a"], dtype)) for dtype in (object, "U3")]
    assert all_labels(texts).counts.tolist() == [2, 2]


def test_negative_counts(two_workers):
    X, y = cases.labelled_bags(60)
    lazy = rows_of(X, (60,)), rows_of(y - 3.0, (60,))
    model = DaskEmbeddingBagRegressor(4, loss="poisson", client=two_workers)
    with pytest.raises(ValueError, match="y must not be negative with loss='poisson'"):
        model.fit(*lazy)
    with pytest.raises(ValueError, match="y must not be all zeros"):
        model.fit(lazy[0], rows_of(np.zeros(60), (60,)))


def test_estimates_are_numbers_of_python():
    assert all(type(value) is float for value in estimate(np.int64(10), np.int32(3)))
    assert estimate(10, 3) == estimate(np.int64(10), np.int32(3))
