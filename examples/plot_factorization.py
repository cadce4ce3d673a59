"""
Ratings by a factorization machine
==================================

Whether a film pleases depends on both the person and the film. A linear model adds a number for
each; a factorization machine gives each a vector as well, and adds the products of all pairs. So it
knows that a person likes such films, without an example of the very pair.
"""

# %%
# Made-up ratings: a person likes what shares their taste, which has three dimensions, and a film
# has a mean rating besides. Three quarters of the rated pairs are for training.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder

from ebagx.sklearn import FactorizationMachineRegressor

rng = np.random.default_rng(0)
person, film = rng.integers(0, [[300], [200]], (2, 20_000))
taste, style = rng.normal(size=(300, 3)), rng.normal(size=(200, 3))
NOISE = 0.5
rating = 3 + 0.5 * rng.normal(size=200)[film] + 0.5 * (taste[person] * style[film]).sum(1)
rating += NOISE * rng.normal(size=len(rating))

# %%
# A row has two categories, one column each: a bag of two ids.

X = OneHotEncoder().fit_transform(np.column_stack([person, film])).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, rating, random_state=0)


def error(model):
    """Return the root mean square error on pairs that the model has not seen."""
    return root_mean_squared_error(y_test, model.fit(X_train, y_train).predict(X_test))


linear = error(Ridge())
print(f"linear: {linear:.3f}, the noise alone: {NOISE}")

# %%
# With vectors of three numbers, the model has the form that the ratings were made by.

DIMS = (1, 2, 3, 4, 8, 16)
errors = [error(FactorizationMachineRegressor(dim, max_iter=20, random_state=0)) for dim in DIMS]

axes = plt.figure(figsize=(6.4, 4), layout="constrained").add_subplot()
axes.plot(range(len(DIMS)), errors, "o-", color="#0072b2", label="factorization machine")
axes.axhline(linear, color="black", linestyle="--", label="linear model")
axes.axhline(NOISE, color="gray", linestyle=":", label="noise of the ratings")
axes.set_xticks(range(len(DIMS)), map(str, DIMS))
axes.set(xlabel="Length of the vectors", ylabel="Error on unseen pairs", ylim=(0.4, None))
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)
plt.show()
