"""Test that recommenders reach a part of the best ranking, which is known for generated data."""

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")

from ebagx import metrics
from ebagx.datasets import make_interactions
from ebagx.sklearn import EmbeddingBagRecommender

DATA = make_interactions(1000, 300, random_state=0)
CEILING = metrics.ndcg_at_k(DATA.scores, DATA.test, DATA.train)


@pytest.mark.parametrize(
    ("loss", "user", "fraction"),
    [
        ("warp", "history", 0.77),
        ("warp", "id", 0.7),
        ("bpr", "history", 0.64),
        ("logistic", "history", 0.66),
        ("softmax", "history", 0.77),
    ],
)
def test_a_fraction_of_the_best_ranking(loss, user, fraction):
    """Popularity alone reaches a quarter; three seeds differ by .03 at most."""
    model = EmbeddingBagRecommender(16, loss=loss, user=user, random_state=0).fit(DATA.train)
    assert fraction * CEILING < model.score(DATA.train, DATA.test) < CEILING


def test_users_that_were_not_there():
    """Users of the other half have the measures of those that the model learnt from."""
    model = EmbeddingBagRecommender(16, random_state=0).fit(DATA.train[:500])
    known = model.score(DATA.train[:500], DATA.test[:500])
    unknown = model.score(DATA.train[500:], DATA.test[500:])
    assert unknown > 0.9 * known


def test_features_rank_items_without_interactions():
    taken = DATA.train + DATA.test
    is_new = np.random.default_rng(0).random(300) < 0.2
    known = sparse.csr_array(taken.multiply((~is_new).astype(np.float32)))
    known.eliminate_zeros()
    later = sparse.csr_array(taken.multiply(is_new.astype(np.float32)))
    later.eliminate_zeros()
    new = np.flatnonzero(is_new)
    values = []
    for features in (None, DATA.item_features):
        model = EmbeddingBagRecommender(16, random_state=0).fit(known, item_features=features)
        values.append(metrics.ndcg_at_k(model.recommend(known, items=new)[0], later))
    best = metrics.ndcg_at_k(np.where(is_new, DATA.scores, -np.inf), later)
    assert values[1] > 1.8 * values[0]
    assert values[1] > 0.45 * best  # half of an item's taste is that of its group
