"""Load MovieLens-100K, and hold out a part of each user's positive ratings.

The file lies in the wheel of RecBole, on PyPI. GroupLens permits its use in research and forbids
redistribution: it is downloaded for a measurement, and nothing of it is in this repository.
F. Maxwell Harper and Joseph A. Konstan, The MovieLens Datasets, ACM TiiS 5, 4 (2015).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from packages import Package, read_files

PACKAGE = Package(
    "recbole==1.2.1",
    "recbole-1.2.1-py3-none-any.whl",
    "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)
RATINGS = "recbole/dataset_example/ml-100k/ml-100k.inter"
FILMS = "recbole/dataset_example/ml-100k/ml-100k.item"
LEAST_RATING = 4
HELD_OUT = 0.2  # of each user's positives


class Split(NamedTuple):
    """Positive ratings (943 users, 1,682 films), apart."""

    train: sparse.csr_array
    test: sparse.csr_array


def load_positives(wheel: Path) -> sparse.csr_array:
    """Return the ratings of 4 and 5 as ones."""
    ((_, content),) = read_files(wheel, RATINGS)
    table = np.loadtxt(content.decode().splitlines(), skiprows=1, usecols=(0, 1, 2)).astype(int)
    shape = table[:, 0].max(), table[:, 1].max()
    users, items, ratings = table[table[:, 2] >= LEAST_RATING].T
    return sparse.csr_array((np.ones(len(ratings), np.float32), (users - 1, items - 1)), shape)


def load_genres(wheel: Path, num_films: int) -> sparse.csr_array:
    """Return the genres of the films as ones."""
    ((_, content),) = read_files(wheel, FILMS)
    lines = (line.split("\t") for line in content.decode().splitlines()[1:])
    pairs = [(int(line[0]) - 1, genre) for line in lines for genre in line[3].split()]
    films, names = zip(*pairs, strict=True)
    genres, columns = np.unique(names, return_inverse=True)
    ones = np.ones(len(films), np.float32)
    return sparse.csr_array((ones, (films, columns)), (num_films, len(genres)))


def split(positives: sparse.csr_array, seed: int) -> Split:
    """Hold out a random part of each user's positives."""
    counts = np.diff(positives.indptr)
    users = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((np.random.default_rng(seed).random(len(users)), users))
    places = np.arange(len(users)) - np.repeat(positives.indptr[:-1], counts)
    is_test = np.empty(len(users), bool)
    is_test[order] = places < np.round(HELD_OUT * counts)[users]

    def part(chosen: np.ndarray) -> sparse.csr_array:
        places = users[chosen], positives.indices[chosen]
        return sparse.csr_array((positives.data[chosen], places), positives.shape)

    return Split(part(~is_test), part(is_test))
