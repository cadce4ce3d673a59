"""
Recommend items to users
========================

A recommender learns from what users have taken, and ranks for each user what he may take next.
`EmbeddingBagRecommender <ebagx.sklearn.EmbeddingBagRecommender>` makes the vector of a user of the
items in his history, so it has recommendations for users that it has never seen.
"""

# %%
# Made-up data of 1,000 users and 400 items. A user takes items by chances that are known, and so is
# the best ranking: no model can be expected to do better.

import matplotlib.pyplot as plt
import numpy as np

from ebagx import metrics
from ebagx.datasets import make_interactions
from ebagx.sklearn import EmbeddingBagRecommender

data = make_interactions(1000, 400, random_state=0)
print(data)

# %%
# The normalised discounted cumulative gain of the best ten items, NDCG@10, counts which of them are
# in the test set, the first most. Items of the training set are not ranked.

ceiling = metrics.ndcg_at_k(data.scores, data.test, data.train)
popular = np.tile(data.train.sum(axis=0), (1000, 1))
floor = metrics.ndcg_at_k(popular, data.test, data.train)
print(f"the scores that the data were drawn by: {ceiling:.3f}, popularity alone: {floor:.3f}")

# %%
# Train with users as their history, and with a row for each user, as matrix factorisation does.

PASSES = (1, 2, 4, 8, 16, 32)


def measure(user, train, test, num_passes):
    """Return the NDCG of a model that has been trained with all users."""
    model = EmbeddingBagRecommender(16, user=user, max_iter=num_passes, random_state=0)
    return model.fit(data.train).score(train, test)


curves = {
    user: [measure(user, data.train, data.test, count) for count in PASSES]
    for user in ("history", "id")
}

_, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
for (user, values), color in zip(curves.items(), ("#0072b2", "#d55e00"), strict=True):
    axes.plot(PASSES, values, "o-", color=color, label=f'user="{user}"')
axes.axhline(ceiling, color="black", linestyle="--", label="best ranking")
axes.axhline(floor, color="gray", linestyle=":", label="popularity")
axes.set_xscale("log", base=2)
axes.set_xticks(PASSES, map(str, PASSES))
axes.set_xlabel("passes over the interactions")
axes.set_ylabel("NDCG@10 on the test set")
axes.set_title("Users as the bag of their items need fewer passes")
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False, loc=(0.6, 0.25))

# %%
# New users are rows like all others. Here a model learns from one half of the users, and ranks
# items for the other half, whom it has never seen.

known, unknown = np.arange(500), np.arange(500, 1000)
recommender = EmbeddingBagRecommender(16, max_iter=16, random_state=0).fit(data.train[known])
for name, users in (("known", known), ("unknown", unknown)):
    print(f"{name} users: {recommender.score(data.train[users], data.test[users]):.3f}")

# %%
# The ten best items of all users take milliseconds, and memory does not grow as users times items.

ids, scores = recommender.recommend(data.train, n=10)
print(ids[:2])
print(scores[:2].round(2))

# %%
# Items are similar if their vectors point the same way. Half of an item's taste is that of its
# group, of which there are ten: so similar items are often of one.

groups = data.item_features.indices
similar, _ = recommender.similar_items(np.arange(400), n=5)
share = (groups[similar] == groups[:, np.newaxis]).mean()
print(f"similar items of the same group: {share:.0%}, of all items: {1 / 10:.0%}")
plt.show()
