"""Compare the public API with the list here: a name changes only together with this file."""

import importlib
import inspect
import pkgutil
import re

import pytest

import ebagx

PUBLIC = {
    "ebagx": [
        "EmbeddingBag",
        "EmbeddingBagCollection",
        "EmbeddingBagGradients",
        "KeyedBags",
        "QuantizedTable",
        "RowGradient",
        "__version__",
        "csr_from_bags",
        "embedding_bag",
        "embedding_bag_backward",
        "metrics",
        "optim",
        "quantize",
        "show_config",
    ],
    "ebagx.optim": [
        "Adagrad",
        "Adam",
        "AdamW",
        "Optimizer",
        "RowwiseAdagrad",
        "SGD",
        "cosine_decay",
        "exponential_decay",
        "inverse_scaling",
        "linear_decay",
        "warmup",
    ],
    "ebagx.metrics": ["auc", "ndcg_at_k", "precision_at_k", "recall_at_k", "reciprocal_rank"],
    "ebagx.sklearn": [
        "EmbeddingBagClassifier",
        "EmbeddingBagRecommender",
        "EmbeddingBagRegressor",
        "EmbeddingBagTransformer",
        "FactorizationMachineClassifier",
        "FactorizationMachineRegressor",
        "TextEmbedder",
        "TextVectorizer",
        "load_estimator",
    ],
    "ebagx.sklearn.plot": ["EmbeddingMapDisplay", "TrainingCurveDisplay"],
    "ebagx.io": [],  # so far for the library's own use
    "ebagx.text": ["FastTextModel", "TextClassifier", "WordVectors", "load_model", "load_vectors"],
    "ebagx.torch": ["EmbeddingBag", "accelerate", "embedding_bag"],
    "ebagx.dask": [
        "DaskEmbeddingBagClassifier",
        "DaskEmbeddingBagRegressor",
        "DaskTextVectorizer",
        "Estimate",
        "estimate",
        "vectorize",
    ],
    "ebagx.datasets": [
        "Interactions",
        "LabelledTexts",
        "load_langid30",
        "load_wordnet10",
        "make_interactions",
    ],
}
MODULES_OF_THE_API = {
    *("ebagx.accumulation", "ebagx.cli", "ebagx.collection", "ebagx.functional"),
    *("ebagx.gradients", "ebagx.keyed", "ebagx.module", "ebagx.quantized"),
}


def import_module(name):
    if name.startswith(("ebagx.sklearn", "ebagx.text")):
        pytest.importorskip("sklearn")
    if name.startswith("ebagx.dask"):
        pytest.importorskip("sklearn")
        pytest.importorskip("distributed")
    if name.startswith("ebagx.torch"):
        pytest.importorskip("torch")
    return importlib.import_module(name)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names(name):
    module = import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name])
    assert len(set(module.__all__)) == len(module.__all__)
    assert module.__doc__
    for public in set(PUBLIC[name]) - {"__version__"}:
        assert getattr(module, public).__doc__, public


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_an_example_and_a_plain_summary(name):
    """A citation in a summary is raw text in the index of the reference."""
    module = import_module(name)
    objects = {key: getattr(module, key) for key in set(PUBLIC[name]) - {"__version__"}}
    named = {key: value for key, value in objects.items() if not inspect.ismodule(value)}
    texts = {key: inspect.getdoc(value) for key, value in named.items()}
    assert sorted(key for key, text in texts.items() if "\n>>> " not in text) == []
    for key, value in filter(lambda item: inspect.isclass(item[1]), named.items()):
        methods = inspect.getmembers(value, lambda member: hasattr(member, "__doc__"))
        public = [method for method in methods if not method[0].startswith("_")]
        texts |= {f"{key}.{method}": inspect.getdoc(member) for method, member in public}
    summaries = {key: (text or "").partition("\n\n")[0] for key, text in texts.items()}
    assert sorted(key for key, text in summaries.items() if re.search(r"\[\w+\]_", text)) == []


def test_modules_without_underscore_are_public():
    """Objects of a public package are public if the ``__all__`` of the package names them."""
    found = {
        module.name
        for module in pkgutil.iter_modules(ebagx.__path__, "ebagx.")
        if not module.name.rpartition(".")[2].startswith("_")
    }
    nested = {"ebagx", "ebagx.sklearn.plot"}
    assert found == (set(PUBLIC) - nested) | MODULES_OF_THE_API


@pytest.mark.parametrize("name", sorted(MODULES_OF_THE_API))
def test_modules_say_what_is_public(name):
    assert importlib.import_module(name).__all__
