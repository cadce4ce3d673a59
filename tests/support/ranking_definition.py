"""Define the measures of rankings, user by user in plain Python."""

import math

import numpy as np


def items_of(matrix, user):
    """Return the set of a user's items."""
    return set() if matrix is None else set(np.flatnonzero(matrix.toarray()[user]).tolist())


def ranking_of(row, train):
    """Return ids by falling score, or the ids given, without items of the training set."""
    if np.issubdtype(row.dtype, np.floating):
        ids = [item for item in range(len(row)) if row[item] > -math.inf]
        ids.sort(key=lambda item: (-row[item], item))
    else:
        ids = [item for item in row.tolist() if item >= 0]
    return [item for item in ids if item not in train]


def mean_of_users(measure, ranked, X_test, X_train):
    """Return the mean over the users who have test items and a value."""
    values = []
    for user in range(X_test.shape[0]):
        test, train = items_of(X_test, user), items_of(X_train, user)
        if test:
            values.append(measure(ranked[user], test, train))
    values = [value for value in values if value is not None]
    return sum(values) / len(values)


def precision_at_k(ranked, X_test, X_train, k):
    def share(row, test, train):
        return len(test & set(ranking_of(row, train)[:k])) / k

    return mean_of_users(share, ranked, X_test, X_train)


def recall_at_k(ranked, X_test, X_train, k):
    def share(row, test, train):
        return len(test & set(ranking_of(row, train)[:k])) / len(test)

    return mean_of_users(share, ranked, X_test, X_train)


def ndcg_at_k(ranked, X_test, X_train, k):
    def gain(row, test, train):
        first = enumerate(ranking_of(row, train)[:k], 1)
        gained = sum(1 / math.log2(place + 1) for place, item in first if item in test)
        return gained / sum(1 / math.log2(place + 1) for place in range(1, min(k, len(test)) + 1))

    return mean_of_users(gain, ranked, X_test, X_train)


def reciprocal_rank(ranked, X_test, X_train, k):
    def of_first(row, test, train):
        first = enumerate(ranking_of(row, train)[:k], 1)
        return next((1 / place for place, item in first if item in test), 0)

    return mean_of_users(of_first, ranked, X_test, X_train)


def auc(scores, X_test, X_train):
    def share_of_pairs(row, test, train):
        others = set(range(len(row))) - test - train
        pairs = [(row[item], row[other]) for item in test for other in others]
        if not pairs:
            return None
        return sum((one > other) + (one == other) / 2 for one, other in pairs) / len(pairs)

    return mean_of_users(share_of_pairs, scores, X_test, X_train)
