"""
Recommend items that nobody has taken yet
=========================================

An item without interactions has nothing to learn a vector from, but it may have features: a genre,
a brand, words of its title. `EmbeddingBagRecommender <ebagx.sklearn.EmbeddingBagRecommender>` adds
the vectors of an item's features to its own, and learns both together.
"""

# %%
# Made-up data in which each item belongs to one of ten groups, and items of a group please the same
# users. A fifth of the items is new: the model learns without their interactions.

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse

from ebagx import metrics
from ebagx.datasets import make_interactions
from ebagx.sklearn import EmbeddingBagRecommender

num_users, num_items = 1000, 400
data = make_interactions(num_users, num_items, popularity=0.0, random_state=0)
taken = data.train + data.test
is_new = np.random.default_rng(0).random(num_items) < 0.2
new = np.flatnonzero(is_new)


def only(columns):
    """Return the interactions with some of the items."""
    kept = sparse.csr_array(taken.multiply(columns.astype(np.float32)))
    kept.eliminate_zeros()
    return kept


known, later = only(~is_new), only(is_new)
print(f"{known.nnz} interactions to learn from, {later.nnz} with {len(new)} new items")

# %%
# Two models, with the groups as features and without. A row of features is a bag like any other, so
# an item may have many, with weights. ``items=`` limits recommendations to the new ones.

models = {
    "without features": EmbeddingBagRecommender(16, random_state=0).fit(known),
    "with features": EmbeddingBagRecommender(16, random_state=0).fit(
        known, item_features=data.item_features
    ),
}
values = {}
for name, model in models.items():
    ids, _ = model.recommend(known, n=10, items=new)
    values[name] = metrics.ndcg_at_k(ids, later)
best = np.where(is_new, data.scores, -np.inf)
values["best ranking"] = metrics.ndcg_at_k(best, later)
values["at random"] = metrics.ndcg_at_k(
    np.where(is_new, np.random.default_rng(0).random(best.shape), -np.inf), later
)
for name, value in values.items():
    print(f"{name}: {value:.3f}")

_, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.barh(list(values), list(values.values()), color=["#0072b2", "#d55e00", "black", "gray"])
axes.invert_yaxis()
axes.set_xlabel("NDCG@10 among new items")
axes.spines[["top", "right"]].set_visible(False)
axes.set_title("Features carry items without interactions")

# %%
# Half of what an item is like is its group, so features cannot reach the best ranking, which knows
# each item. When users begin to take the new items, ``partial_fit`` learns the rest.
plt.show()
