"""
Many tables for the columns of a DataFrame
==========================================

Rows of data about people have categories (a city, a weekday) and lists of them (items seen). Each
gets a table of embeddings, and `EmbeddingBagCollection <ebagx.EmbeddingBagCollection>` looks all
columns up in one call: the vectors stand side by side, ready for any model.
"""

# %%
# Visits to a made-up shop. Each item has a hidden appeal, and so has each city; whether a visit
# ends with a purchase depends on the item shown, on the city and on what was viewed before.

import numpy as np
import pandas as pd

import ebagx

rng = np.random.default_rng(0)
num_visits, num_items, num_cities = 20_000, 300, 40
days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
cities = [f"city {number}" for number in range(num_cities)]

item_appeal, city_appeal = rng.normal(size=num_items), rng.normal(size=num_cities)
city, shown = rng.integers(0, num_cities, num_visits), rng.integers(0, num_items, num_visits)
viewed = [rng.integers(0, num_items, count).tolist() for count in rng.poisson(4, num_visits)]
interest = [item_appeal[items].mean() if items else 0.0 for items in viewed]
score = item_appeal[shown] + city_appeal[city] + 2 * np.array(interest)

visits = pd.DataFrame(
    {
        "city": pd.Categorical.from_codes(city, cities),
        "weekday": pd.Categorical(rng.choice(days, num_visits), days),
        "shown": shown,
        "viewed": viewed,
    }
)
bought = (score + rng.logistic(size=num_visits) > 0).astype(np.float32)
print(visits.head(4))

# %%
# A table for each kind of thing. Two columns hold items, and share a table. The item shown is one
# id for each visit, the items viewed are a list: the table's mode "mean" pools them.

dim = 8
tables = {
    "city": ebagx.EmbeddingBag(num_cities, dim, mode="sum", rng=1),
    "weekday": ebagx.EmbeddingBag(len(days), 2, mode="sum", rng=2),
    "item": ebagx.EmbeddingBag(num_items, dim, mode="mean", rng=3),
}
for table in tables.values():
    table.weight *= 0.1
features = {"city": "city", "weekday": "weekday", "shown": "item", "viewed": "item"}
collection = ebagx.EmbeddingBagCollection(tables, features)
print(collection)

# %%
# Categories are looked up by their codes, and lists as they are.


def bags_of(frame):
    """Return the bags of each column."""
    return {
        "city": frame["city"].cat.codes,
        "weekday": frame["weekday"].cat.codes,
        "shown": frame["shown"],
        "viewed": frame["viewed"].tolist(),
    }


print(collection(bags_of(visits.head(4))).shape)

# %%
# Train them with a logistic regression on top: forward, gradient, one step for each table.

train, test = slice(0, 16_000), slice(16_000, None)
head = np.zeros(collection.embedding_dim, np.float32)
optimizers = {name: ebagx.optim.Adagrad(learning_rate=0.3) for name in tables}


def predicted(frame):
    """Return the vectors of visits, and the probability of a purchase."""
    vectors = collection(bags_of(frame))
    return vectors, 1 / (1 + np.exp(-vectors @ head))


def log_loss(part):
    """Return the mean loss of some visits."""
    collection.eval()
    probability = predicted(visits[part])[1]
    collection.train()
    return -np.log(np.where(bought[part] == 1, probability, 1 - probability)).mean()


head[:] = rng.normal(scale=0.3, size=len(head))
losses = [log_loss(test)]
for _ in range(8):
    order = rng.permutation(train.stop)
    for batch in np.split(order, len(order) // 160):
        vectors, probability = predicted(visits.iloc[batch])
        error = (probability - bought[batch]) / len(batch)
        collection.backward_update(np.outer(error, head), optimizers)
        head -= 0.5 * (error @ vectors)
    losses.append(log_loss(test))
print(f"loss on visits that were not seen: {losses[0]:.3f} before, {losses[-1]:.3f} after")

# %%
# The model has found the hidden appeal of the items: an item's vector, as the head weighs the
# column "shown", is that appeal.

import matplotlib.pyplot as plt

learned = tables["item"].weight @ head[collection.columns["shown"]]
print(f"correlation: {np.corrcoef(learned, item_appeal)[0, 1]:.2f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.6), layout="constrained")
left.plot(losses, "o-", color="#0072b2", markersize=4)
left.set_xlabel("Passes over the data")
left.set_title("Loss on other visits", loc="left", fontsize=10)
right.plot(item_appeal, learned, "o", color="#d55e00", markersize=3, alpha=0.6)
right.set_xlabel("Hidden appeal of an item")
right.set_title("What its vector says", loc="left", fontsize=10)
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The tables of all features are saved together, and loaded without pickle:
#
# .. code-block:: python
#
#     np.savez("tables.npz", **collection.state_dict())
#     collection.load_state_dict(np.load("tables.npz", allow_pickle=False))
