"""Test that copies of every public object, by copy, pickle and joblib, are equal and work."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse

import ebagx
from ebagx import datasets, optim

joblib = pytest.importorskip("joblib")

GRADIENT = ebagx.RowGradient([1, 2], np.array([[1.0, -2.0], [3.0, 0.5]]), (5, 2))
TEXTS = ["a small cat", "a cat purrs", "dogs bark", "a big dog barks", "pie of äpfel"]


def an_embedding_bag():
    bag = ebagx.EmbeddingBag(50, 4, mode="mean", padding_idx=3, sparse=True, max_norm=2, rng=0)
    bag([[1, 2], [4, 3]])
    bag.backward(np.ones((2, 4)))
    return bag.eval()


def a_collection():
    tables = {"x": ebagx.EmbeddingBag(4, 3, rng=0), "y": ebagx.EmbeddingBag(4, 2, rng=1)}
    collection = ebagx.EmbeddingBagCollection(tables, {"a": "x", "b": "y", "c": "x"})
    collection({"a": ([1, 3], None, [0.5, 2.0]), "b": [[0], []], "c": [3, 3]})
    collection.backward(np.ones((2, 8)))
    return collection


def an_optimizer(rule, rate=0.1, **options):
    optimizer = getattr(optim, rule)(rate, weight_decay=0.1, **options)
    optimizer.update(np.ones((5, 2)), GRADIENT)
    return optimizer


def an_estimator(name, **parameters):
    estimators = pytest.importorskip("ebagx.sklearn")
    X = scipy.sparse.csr_array(np.eye(6, 5) + np.eye(6, 5, 1))
    y = [0, 1, 2, 0, 1, 2]
    return getattr(estimators, name)(**parameters).fit(X, y)


def a_display(name, **parameters):
    return getattr(pytest.importorskip("ebagx.sklearn.plot"), name)(**parameters)


RATES = {
    "linear_decay": lambda: optim.linear_decay(0.5, 10),
    "cosine_decay": lambda: optim.cosine_decay(0.5, 10),
    "exponential_decay": lambda: optim.exponential_decay(0.5, 0.9),
    "inverse_scaling": lambda: optim.inverse_scaling(0.5),
    "warmup": lambda: optim.warmup(optim.warmup(0.5, 3), 7),
}
RULES = ("SGD", "Adagrad", "RowwiseAdagrad", "Adam", "AdamW")


def step_of(optimizer):
    table = np.ones((5, 2))
    optimizer.update(table, GRADIENT)
    return table


# Each public object has a function that makes it, and one that uses it.
OBJECTS = {
    "EmbeddingBag": (an_embedding_bag, lambda bag: (bag.weight, bag.grad.toarray())),
    "frozen": (
        lambda: ebagx.EmbeddingBag.from_pretrained(np.eye(4)),
        lambda bag: bag([[1, 2], [3, 3]]),
    ),
    "EmbeddingBagCollection": (
        a_collection,
        lambda collection: (
            collection({"a": [1, 2], "b": [[0], [3, 1]], "c": [2, 2]}),
            *(bag.grad for bag in collection.tables.values()),
            *collection.per_sample_weights_grad.values(),
        ),
    ),
    "KeyedBags": (
        lambda: ebagx.KeyedBags(["a", "b"], [3, 1, 2], [0, 1, 3], [0.5, 1, 2]),
        lambda bags: (*bags["a"], *bags["b"]),
    ),
    "RowGradient": (lambda: GRADIENT, lambda gradient: gradient.toarray()),
    "EmbeddingBagGradients": (
        lambda: ebagx.embedding_bag_backward(
            np.ones((2, 2)), [[1, 2], [0, 1]], np.ones((3, 2)),
            per_sample_weights=np.ones((2, 2)), sparse=True,
        ),
        lambda pair: (pair.weight.toarray(), pair.per_sample_weights),
    ),
    **{rule: (lambda rule=rule: an_optimizer(rule), step_of) for rule in RULES},
    "momentum": (lambda: an_optimizer("SGD", momentum=0.9, clip_norm=0.5), step_of),
    "Optimizer": (lambda: optim.Optimizer(0.5), lambda optimizer: optimizer.learning_rate),
    **{
        name: (make, lambda rate: [rate(step) for step in range(12)])
        for name, make in RATES.items()
    },
    "with schedule": (lambda: an_optimizer("Adam", RATES["warmup"]()), step_of),
    "EmbeddingBagTransformer": (
        lambda: an_estimator("EmbeddingBagTransformer", weight=np.eye(5)),
        lambda model: model.transform(scipy.sparse.csr_array(np.eye(3, 5))),
    ),
    "EmbeddingBagClassifier": (
        lambda: an_estimator(
            "EmbeddingBagClassifier", embedding_dim=3, hidden=4, random_state=0,
            max_iter=3,
        ),
        lambda model: model.predict_proba(scipy.sparse.csr_array(np.eye(3, 5))),
    ),
    "EmbeddingBagRegressor": (
        lambda: an_estimator(
            "EmbeddingBagRegressor", embedding_dim=3, random_state=0, max_iter=3
        ),
        lambda model: model.predict(scipy.sparse.csr_array(np.eye(3, 5))),
    ),
    "TextVectorizer": (
        lambda: pytest.importorskip("ebagx.sklearn")
        .TextVectorizer(word_ngrams=2, char_ngrams=(2, 3), n_buckets=1000)
        .fit(TEXTS),
        lambda vectorizer: vectorizer.transform([*TEXTS, "a dog", ""]).toarray(),
    ),
    "TrainingCurveDisplay": (
        lambda: a_display("TrainingCurveDisplay", loss_curve=[0.9, 0.5]),
        lambda display: display.loss_curve,
    ),
    "EmbeddingMapDisplay": (
        lambda: a_display(
            "EmbeddingMapDisplay", coordinates=np.ones((3, 2)), explained_variance_ratio=[0.6, 0.4]
        ),
        lambda display: display.coordinates,
    ),
    "LabelledTexts": (lambda: datasets.LabelledTexts(TEXTS, TEXTS), list),
}  # fmt: skip


def through_joblib(thing, folder, mmap_mode):
    joblib.dump(thing, folder / "thing")
    return joblib.load(folder / "thing", mmap_mode=mmap_mode)


WAYS = {
    "copy": lambda thing, _: copy.copy(thing),
    "deepcopy": lambda thing, _: copy.deepcopy(thing),
    **{
        f"pickle {protocol}": lambda thing, _, p=protocol: pickle.loads(pickle.dumps(thing, p))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
    "joblib": lambda thing, folder: through_joblib(thing, folder, None),
    "joblib, mapped": lambda thing, folder: through_joblib(thing, folder, "c"),
}


def assert_same_use(use, thing, other):
    before = pickle.dumps(thing)
    expected = use(copy.deepcopy(thing))
    for actual, wanted in zip(_parts(use(other)), _parts(expected), strict=True):
        np.testing.assert_array_equal(actual, wanted)
    assert pickle.dumps(thing) == before or use is step_of


def _parts(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("make", "use"), OBJECTS.values(), ids=OBJECTS)
def test_copies_do_the_same(tmp_path, make, use, way):
    thing = make()
    other = way(thing, tmp_path)
    assert type(other) is type(thing)
    shown = repr(thing)
    assert repr(other) == shown or " at 0x" in shown or "array(" in shown
    assert_same_use(use, thing, other)


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_in_read_only_maps_do_the_same(tmp_path, name):
    make, use = OBJECTS[name]
    thing = make()
    assert_same_use(use, thing, through_joblib(thing, tmp_path, "r"))


def test_a_module_in_a_read_only_map_is_not_trained(tmp_path):
    bag = through_joblib(an_embedding_bag(), tmp_path, "r")
    assert isinstance(bag.weight, np.memmap)
    with pytest.raises(ValueError, match="weight is read-only"):
        bag([[1, 2]])  # max_norm
    with pytest.raises(ValueError, match="weight is read-only"):
        optim.SGD().step(bag)
