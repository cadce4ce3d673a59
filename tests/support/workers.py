"""Define functions for worker processes, which import this module by its name after spawn."""

import numpy as np

import ebagx

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((500, 64)).astype(np.float32)
IDS = RNG.integers(0, 500, (300, 20))


def pooled(num_threads=2):
    return ebagx.embedding_bag(IDS, TABLE, num_threads=num_threads)


def file_of_table(embedder, texts):
    """Return the file in whose map the table of an embedder is, and the vectors of texts."""
    array = embedder.vectors.table
    while not isinstance(array, np.memmap):
        array = array.base
    return str(array.filename), embedder.transform(texts)
