"""Test that every parameter of every estimator refuses what it may not be in the same way."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse

from ebagx.sklearn import (
    EmbeddingBagClassifier,
    EmbeddingBagRecommender,
    EmbeddingBagRegressor,
    EmbeddingBagTransformer,
    FactorizationMachineClassifier,
    FactorizationMachineRegressor,
    TextEmbedder,
    TextVectorizer,
)
from ebagx.text import TextClassifier, load_vectors
from support.wrong_parameters import refusals

X = sparse.csr_array(np.arange(24.0).reshape(6, 4) % 5)
CODES = np.arange(6) % 2
TEXTS = ["a cat", "a dog", "the cat", "the dog", "cats", "dogs"]
TRAINED = {"embedding_dim": 2, "max_iter": 1}
CASES = [
    (EmbeddingBagClassifier, TRAINED, (X, CODES)),
    (EmbeddingBagRegressor, TRAINED, (X, CODES)),
    (FactorizationMachineClassifier, TRAINED, (X, CODES)),
    (FactorizationMachineRegressor, TRAINED, (X, CODES)),
    (EmbeddingBagRecommender, TRAINED, (X,)),
    (EmbeddingBagTransformer, {"n_components": 2}, (X,)),
    (TextVectorizer, {}, (TEXTS,)),
    (TextEmbedder, {}, (TEXTS,)),
    (TextClassifier, {"dim": 2, "epochs": 1}, (TEXTS, CODES)),
]
# A table is checked as those of functions are; a path that leads nowhere is an OSError.
NO_CONSTRAINTS = {"weight", "vectors", "pretrained"}


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / "vectors.txt"
    path.write_text("cat 1 0\ndog 0 1\n")
    return load_vectors(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "options", "data"), CASES)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_every_parameter_refuses_wrong_values(kind, options, data, method, vectors):
    if not hasattr(kind, method):
        pytest.skip("the estimator has one way to learn")
    options = {"vectors": vectors} if kind is TextEmbedder else options
    for name in sorted(set(kind(**options).get_params()) - NO_CONSTRAINTS):
        estimator = kind(**options).fit(*data)
        messages = refusals(estimator, name, lambda fitted: getattr(fitted, method)(*data))
        assert messages


@pytest.mark.parametrize("kind", [kind for kind, _, _ in CASES])
def test_sizes_beyond_any_memory_are_named(kind):
    for name in {"embedding_dim", "hidden", "n_components", "dim"} & set(kind._constraints):
        data = next(data for other, _, data in CASES if other is kind)
        with pytest.raises(ValueError, match=f"^{name} must be at most 2147483647.*, got 4611686"):
            kind(**{name: 2**62}).fit(*data)
