"""Test that generated interactions have the structure by which they are made."""

import numpy as np
import pytest

from ebagx import metrics
from ebagx.datasets import make_interactions


def test_shapes():
    data = make_interactions(40, 30, per_user=8, random_state=0)
    assert repr(data) == "Interactions(40 users, 30 items, 240 + 80)"
    assert (data.train.sum(axis=1) == 6).all()
    assert (data.test.sum(axis=1) == 2).all()
    assert data.train.multiply(data.test).nnz == 0
    assert data.item_features.shape == (30, 10)
    assert (data.item_features.sum(axis=1) == 1).all()
    assert data.scores.shape == data.train.shape


def test_a_seed_gives_the_same_data():
    first, again, other = (make_interactions(random_state=seed) for seed in (0, 0, 1))
    assert (first.train != again.train).nnz == (first.test != again.test).nnz == 0
    np.testing.assert_array_equal(first.scores, again.scores)
    assert (first.train != other.train).nnz > 0


def test_items_are_taken_by_their_chances():
    """The items of high scores are taken so much more often as their chances say."""
    data = make_interactions(4000, 20, per_user=2, random_state=0)
    chances = np.exp(data.scores) / np.exp(data.scores).sum(axis=1, keepdims=True)
    # The test set has one of two draws at random. The second leaves out the first.
    second = chances * (
        (chances / (1 - chances)).sum(axis=1, keepdims=True) - chances / (1 - chances)
    )
    expected = (chances + second) / 2
    found = data.test.toarray()
    bins = np.digitize(expected, np.quantile(expected, np.linspace(0.1, 0.9, 9)))
    for number in range(10):
        inside = bins == number
        error = 4 * np.sqrt(expected[inside].sum()) / inside.sum()
        assert found[inside].mean() == pytest.approx(expected[inside].mean(), abs=error)


def test_no_ranking_is_better_than_the_scores():
    data = make_interactions(random_state=0)
    best = metrics.ndcg_at_k(data.scores, data.test, data.train)
    popular = np.tile(data.train.sum(axis=0), (len(data.scores), 1))
    noise = np.random.default_rng(0).standard_normal(data.scores.shape)
    assert metrics.ndcg_at_k(data.scores + noise, data.test, data.train) < best
    assert metrics.ndcg_at_k(popular, data.test, data.train) < 0.6 * best


def test_items_of_a_group_are_taken_together():
    data = make_interactions(random_state=0)
    both = (data.train.T @ data.train).toarray()
    same = (data.item_features @ data.item_features.T).toarray() > 0
    np.fill_diagonal(same, False)
    apart = ~same & ~np.eye(len(same), dtype=bool)
    assert both[same].mean() > 1.5 * both[apart].mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_users": 0}, "n_users must be at least 1"),
        ({"n_items": 1}, "n_items must be at least 2"),
        ({"n_items": 10, "per_user": 10}, "per_user must be at most 9"),
        ({"dim": 0}, "dim must be at least 1"),
        ({"popularity": 1}, "popularity must be in"),
        ({"random_state": -1}, "random_state must be None, .* got -1"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        make_interactions(**options)
