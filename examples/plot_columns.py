"""
Text, categories, lists and numbers of a DataFrame
==================================================

`ColumnTransformer <sklearn.compose.ColumnTransformer>` makes one matrix of all columns of a
DataFrame. Its output slices are the `groups` of an estimator: columns of each group are pooled
apart, and the linear layer sees the vectors side by side. So no column drowns another, however
large its numbers are.
"""

# %%
# The texts and labels are those of WordNet, which ship with ebagx. The other columns are made up
# for this example, and each says a little about the label: a shelf and some tags are chosen by the
# label in part of the rows, and else at random; a price has another mean for each label.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder

from ebagx.datasets import load_wordnet10
from ebagx.sklearn import EmbeddingBagClassifier, TextVectorizer

texts, labels = load_wordnet10()
rng = np.random.default_rng(0)
classes, codes = np.unique(labels, return_inverse=True)
num_rows = len(labels)


def partly(given, of, share):
    """Return the given numbers in a share of the rows, and random ones below `of` in the others."""
    return np.where(rng.random(num_rows) < share, given, rng.integers(of, size=num_rows))


tags = np.stack([partly(codes * 7 + which, 100, 0.2) for which in range(4)], axis=1)
table = pd.DataFrame(
    {
        "text": texts,
        "shelf": [f"shelf {number}" for number in partly(codes // 2, 8, 0.4)],
        "tags": [[f"tag {number}" for number in row] for row in tags],
        "price": np.round(1000 * np.exp(codes / 9 + rng.normal(size=num_rows)), 2),
    }
)
print(table.head(4).to_string(max_colwidth=30))

# %%
# Categories and tags become columns of ones. The price stays a number at first, as it does in many
# a table, and is a thousand times the count of a word.


def as_they_are(tags):
    """Return a list of tags, which need no analysis."""
    return tags


def make_columns(numbers="passthrough"):
    """Return a transformer of all columns, in which another one may take the numbers."""
    return ColumnTransformer(
        [
            ("text", TextVectorizer(), "text"),
            ("shelf", OneHotEncoder(handle_unknown="ignore"), ["shelf"]),
            ("tags", CountVectorizer(analyzer=as_they_are), "tags"),
            ("price", numbers, ["price"]),
        ]
    )


train, test = table[:8000], table[8000:]
y_train, y_test = labels[:8000], labels[8000:]
scores = {}


def measure(name, model, columns, **parameters):
    """Fit a model to what the columns become, and note its accuracy."""
    X_train, X_test = columns.fit_transform(train), columns.transform(test)
    model.set_params(**parameters).fit(X_train, y_train)
    scores[name] = model.score(X_test, y_test)
    print(f"{name:40} {scores[name]:.3f}")


def classifier():
    """Return the classifier of all comparisons."""
    return EmbeddingBagClassifier(random_state=0)


measure("text alone", classifier(), ColumnTransformer([("text", TextVectorizer(), "text")]))
measure("one group, raw price", classifier(), make_columns())

# %%
# In one group, the sum of the weights of a row is little else than its price, and the words are
# lost. With a group for each column they are back. The slices are known once the transformer has
# been fitted.

columns = make_columns().fit(train)
for name, part in columns.output_indices_.items():
    print(f"{name}: {part}")
measure("groups, raw price", classifier(), columns, groups=columns.output_indices_)

# %%
# A group of a single number is pooled to its sign with the mode "mean", so the price still says
# nothing. As one of ten bins, each with an embedding, it does.

columns = make_columns(KBinsDiscretizer(10, quantile_method="averaged_inverted_cdf")).fit(train)
measure("groups, price in bins", classifier(), columns, groups=columns.output_indices_)
measure("logistic regression, price in bins", LogisticRegression(max_iter=1000), columns)

# %%
# A bar for each of them.

figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
bars = axes.barh(list(scores), list(scores.values()), color="#0072b2")
axes.bar_label(bars, fmt="%.3f", padding=3)
axes.set(xlabel="accuracy on 2,000 held-out rows", xlim=(0, 1))
axes.invert_yaxis()
axes.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# In a cross-validation, each part has columns of its own: fit transformer and classifier of a part
# together, as `measure` does, and not a pipeline with slices that belong to another part.
