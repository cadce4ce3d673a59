"""Test that estimators are saved as folders and loaded again, and what damaged folders give."""

import json
import os
import shutil
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.exceptions import NotFittedError

from ebagx._core.memory import find_map
from ebagx.datasets import make_interactions
from ebagx.optim import SGD, Adam
from ebagx.sklearn import (
    EmbeddingBagClassifier,
    EmbeddingBagRecommender,
    EmbeddingBagRegressor,
    FactorizationMachineClassifier,
    FactorizationMachineRegressor,
    load_estimator,
)

DATA = make_interactions(60, 40, per_user=12, random_state=1)
RNG = np.random.default_rng(0)
X = RNG.poisson(0.3, (80, 30)).astype(np.float32)
CLASSES = RNG.integers(3, size=80)
NUMBERS = RNG.random(80)
OPTIONS = {"max_iter": 2, "random_state": 0}
GROUPS = [slice(0, 10), slice(10, 30)]


def recommender(**options):
    return EmbeddingBagRecommender(8, **{**OPTIONS, "batch_size": 32, **options})


# Estimators with the arguments of `fit` and `partial_fit`.
CASES = {
    "history": (recommender(warm_start=True), (DATA.train,)),
    "features": (
        recommender(early_stopping=True),
        (DATA.train,),
        {"item_features": DATA.item_features, "user_features": np.eye(60)},
    ),
    "ids": (recommender(user="id", optimizer=Adam(0.01, clip_norm=1)), (DATA.train,)),
    "classifier": (
        EmbeddingBagClassifier(
            *(4,), hidden=5, groups=GROUPS, class_weight={0: 1.0, 1: 2.0, 2: 1.0}, **OPTIONS
        ),
        (X, CLASSES),
    ),
    "names": (EmbeddingBagClassifier(4, **OPTIONS), (X, np.array(["a", "bb", "ccc"])[CLASSES])),
    "labels": (
        EmbeddingBagClassifier(4, warm_start=True, groups=np.arange(30) % 2, **OPTIONS),
        (X, np.eye(3, dtype=int)[CLASSES]),
    ),
    "regressor": (EmbeddingBagRegressor(4, early_stopping=True, **OPTIONS), (X, NUMBERS)),
    "poisson": (
        EmbeddingBagRegressor(4, loss="poisson", optimizer="adamw", warm_start=True, **OPTIONS),
        (X, np.column_stack([NUMBERS, CLASSES])),
    ),
    "factors": (
        FactorizationMachineClassifier(4, warm_start=True, alpha=1e-3, **OPTIONS),
        (X, CLASSES > 1),
    ),
    "factors of numbers": (FactorizationMachineRegressor(4, **OPTIONS), (X, NUMBERS)),
}


def fitted(name):
    model, data, *options = CASES[name]
    return model.fit(*data, **(options[0] if options else {}))


def next_pass(name, model):
    _, data, *options = CASES[name]
    return model.partial_fit(*data, **(options[0] if options else {}))


def assert_equal_values(one, other, name):
    if name in ("_state", "_groups", "_given", "optimizer", "groups"):
        return
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, err_msg=name)
    elif hasattr(one, "toarray"):
        np.testing.assert_array_equal(one.toarray(), other.toarray())
    else:
        assert one == other, name


def assert_same_model(one, other):
    left, right = one.__dict__, {k: v for k, v in other.__dict__.items() if k != "_is_loaded"}
    assert left.keys() - {"_is_loaded"} == right.keys()
    for name, value in right.items():
        assert_equal_values(left[name], value, name)


@pytest.fixture
def saved(tmp_path):
    """The folder of a recommender, with the state of an optimizer."""
    fitted("history").save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("name", CASES)
def test_round_trip(name, tmp_path):
    model = fitted(name)
    model.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    assert type(loaded) is type(model)
    assert_same_model(model, loaded)
    assert_same_model(next_pass(name, model), next_pass(name, loaded))
    loaded.save(tmp_path / "model")  # now with the state of an optimizer
    again = load_estimator(tmp_path / "model", num_threads=1)
    assert again.num_threads == 1
    again.num_threads = None
    assert_same_model(next_pass(name, model), next_pass(name, again))
    assert len(os.listdir(tmp_path / "model")) == 2


def test_columns_keep_their_names(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"column {i}" for i in range(30)])
    model = EmbeddingBagRegressor(4, **OPTIONS).fit(frame, NUMBERS)
    model.save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    assert_same_model(model, loaded)
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))


def test_large_arrays_are_mapped(saved):
    loaded = load_estimator(saved)
    for name in ("user_embedding_", "item_embedding_", "item_vectors_"):
        assert find_map(getattr(loaded, name)) is not None
    assert loaded.item_vectors_.flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        loaded.item_vectors_[0] = 1


@pytest.mark.skipif(os.name == "nt", reason="files that are mapped cannot be cut there")
@pytest.mark.parametrize(
    ("name", "file", "call"),
    [
        ("history", "item_vectors_", lambda model: model.recommend(DATA.train)),
        ("history", "item_vectors_", lambda model: model.predict(DATA.train)),
        ("history", "item_vectors_", lambda model: model.similar_items([0])),
        ("history", "user_embedding_", lambda model: model.recommend(DATA.train)),
        ("history", "item_embedding_", lambda model: model.partial_fit(DATA.train)),
        ("names", "embedding_", lambda model: model.predict(X)),
        ("factors", "embedding_", lambda model: model.predict(X)),
        ("factors", "embedding_", lambda model: model.partial_fit(X, CLASSES > 1)),
    ],
)
def test_a_file_that_is_cut_raises(name, file, call, tmp_path):
    fitted(name).save(tmp_path / "model")
    loaded = load_estimator(tmp_path / "model")
    (path,) = tmp_path.glob(f"model/data-*/{file}.npy")
    os.truncate(path, 0)
    with pytest.raises(ValueError, match="cut short"):
        call(loaded)


def test_folders_hold_no_code(saved):
    suffixes = {path.suffix for path in saved.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".npy"}
    for path in saved.glob("data-*/*.npy"):
        np.load(path, allow_pickle=False)


def test_what_cannot_be_saved_is_named(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(NotFittedError):
        recommender().save(path)
    with pytest.raises(ValueError, match="schedule = <function .* cannot be saved.*set_params"):
        recommender(schedule=lambda step: 0.1).fit(DATA.train).save(path)
    with pytest.raises(ValueError, match="optimizer = SGD.* set its learning_rate to a number"):
        recommender(optimizer=SGD(lambda step: 0.1)).fit(DATA.train).save(path)
    seeded = recommender(random_state=np.random.RandomState(0)).fit(DATA.train)
    with pytest.raises(ValueError, match="random_state = RandomState.* cannot be saved"):
        seeded.save(path)
    with pytest.raises(ValueError, match="embedding_dim = 3 differs from 8"):
        recommender().fit(DATA.train).set_params(embedding_dim=3).save(path)
    model = EmbeddingBagClassifier(4, groups=GROUPS, **OPTIONS).fit(X, CLASSES)
    with pytest.raises(ValueError, match="groups differs"):
        model.set_params(groups=None).save(path)
    mixed = EmbeddingBagClassifier(4, **OPTIONS).fit(X, CLASSES)
    mixed.embedding_ = mixed.embedding_.astype(np.float64)
    with pytest.raises(ValueError, match="embedding_ must be an array of float32"):
        mixed.save(path)

    mixed = EmbeddingBagClassifier(4, **OPTIONS).fit(X, CLASSES)
    mixed.coef_[0, 0] = np.nan
    with pytest.raises(ValueError, match="coef_ holds nan or infinity"):
        mixed.save(path)
    with pytest.raises(ValueError, match="loss must be one of .*, got 'huber'"):
        recommender().fit(DATA.train).set_params(loss="huber").save(path)
    with pytest.raises(TypeError, match="max_iter must be an integer"):
        recommender().fit(DATA.train).set_params(max_iter="x").save(path)

    class Own(EmbeddingBagRecommender):
        pass

    with pytest.raises(ValueError, match="Own is another class than ebagx.sklearn has"):
        Own(8).fit(DATA.train).save(path)
    assert not path.exists()


def test_only_folders_of_estimators_are_replaced(saved, tmp_path):
    model = fitted("history")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="it holds thesis.txt, not a model"):
        model.save(tmp_path / "other")
    text = pytest.importorskip("ebagx.text").TextClassifier(epochs=1)
    text.fit(["a b", "c d"], ["x", "y"]).save(tmp_path / "text")
    with pytest.raises(ValueError, match="it holds an ebagx text classifier, not an ebagx est"):
        model.save(tmp_path / "text")
    with pytest.raises(ValueError, match="it holds an ebagx estimator, not an ebagx text"):
        text.save(saved)
    with pytest.raises(ValueError, match="not the description of an ebagx estimator"):
        load_estimator(tmp_path / "text")
    with pytest.raises(ValueError, match="is not a model directory"):
        load_estimator(tmp_path)


def damaged(saved, copy, change):
    """Return a copy of a folder with another description."""
    shutil.copytree(saved, copy)
    about = json.loads((copy / "model.json").read_text("utf-8"))
    change(about)
    (copy / "model.json").write_text(json.dumps(about), "utf-8")
    return copy


def set_at(*keys, value=None):
    def change(about):
        for key in keys[:-1]:
            about = about[key]
        about[keys[-1]] = value

    return change


def drop_at(*keys):
    def change(about):
        for key in keys[:-1]:
            about = about[key]
        del about[keys[-1]]

    return change


DAMAGE = {
    "format": (set_at("format", value="x"), "not the description"),
    "version": (set_at("version", value=2), "version 2, this ebagx reads 1; a newer"),
    "class": (set_at("class", value="Popen"), "class is 'Popen', not EmbeddingBagC"),
    "folder": (set_at("folder", value="../other"), "folder is '../other'"),
    "foreign array": (set_at("files", "x", value={}), "files does not consist"),
    "dtype": (set_at("files", "item_bias_", "dtype", value="object"), "dtype 'object'"),
    "shape": (set_at("files", "item_bias_", "shape", value=[39]), "not a float32 array"),
    "size": (set_at("files", "item_bias_", "shape", value=[2**40]), "too few for shape"),
    "checksum": (set_at("files", "item_bias_", "sha256", value="0"), "the checksum is not"),
    "no array": (drop_at("files", "item_bias_"), "damaged: item_bias_ is missing"),
    "no bool": (set_at("values", "parameters", "warm_start", value=1.5), "warm_start must be"),
    "unknown": (set_at("values", "parameters", "x", value=1), "parameters differ in x"),
    "form": (set_at("values", "parameters", "mode", value={"eval": []}), "mode is {'eval'"),
    "items": (set_at("values", "attributes", "n_features_in_", value=39), "size"),
    "users": (set_at("values", "parameters", "embedding_dim", value=9), "do not have 9 columns"),
    "curve": (set_at("values", "attributes", "loss_curve_", value=["a"]), "loss_curve_ is"),
    "rng": (set_at("values", "state", "rng", "state", value=3), "state of a PCG64"),
    "optimizers": (set_at("values", "state", "optimizers", value=[]), "number of optimizers"),
    "name": (
        set_at("values", "state", "optimizers", 0, "name", value="os"),
        "name 'os', not adagrad",
    ),
    "numbers": (
        set_at("values", "state", "optimizers", 0, "numbers", "eps", value=-1),
        "eps must be",
    ),
    "state": (drop_at("files", "optimizer0_squares"), "state|squares|needs"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_descriptions(name, saved, tmp_path):
    change, message = DAMAGE[name]
    if name == "state":  # an optimizer before its first step has none
        load_estimator(damaged(saved, tmp_path / "copy", change))
        return
    with pytest.raises(ValueError, match=message) as caught:
        load_estimator(damaged(saved, tmp_path / "copy", change))
    assert str(tmp_path / "copy") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["features", "classifier", "names", "poisson", "factors"])
def test_any_change_of_a_description_is_an_error_or_harmless(name, tmp_path):
    """Each value in turn becomes others: the model loads and predicts, or there is a ValueError."""
    fitted(name).save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    original = path.read_text("utf-8")

    def places(value):
        """Yield the keys that lead to each part."""
        if isinstance(value, (dict, list)) and len(value) < 50:
            for key, part in value.items() if isinstance(value, dict) else enumerate(value):
                yield (key,)
                yield from ((key, *keys) for keys in places(part))

    for number, keys in enumerate(places(json.loads(original))):
        value = (None, -1, 2**70, "x", [], {}, 1e300, True)[number % 8]
        about = json.loads(original)
        set_at(*keys, value=value)(about)
        path.write_text(json.dumps(about), "utf-8")
        with suppress(ValueError):
            model = load_estimator(tmp_path / "model")
            data = DATA.train if name == "features" else X
            getattr(model, "transform" if name != "factors" else "predict")(data)


def test_damaged_bytes(saved):
    for path in sorted(saved.glob("data-*/*.npy")):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match=f"{path.name}: damaged: the checksum"):
            load_estimator(saved)
        path.write_bytes(content[:-1])
        with pytest.raises(ValueError, match=f"{path.name}: damaged or incomplete"):
            load_estimator(saved)
        path.write_bytes(content)
    load_estimator(saved)
