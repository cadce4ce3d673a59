"""Train a model and predict with it while no process may have as much memory as its table."""

import os
import resource
import sys

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MALLOC_ARENA_MAX="1")

LIMIT = 1 << 30
NUM_COLUMNS, DIM, NUM_BLOCKS = 4_500_000, 64, 30


def main(folder):
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))  # workers inherit it
    sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
    import distributed
    from scipy import sparse

    from ebagx.dask import DaskEmbeddingBagClassifier, _calendar
    from support import dask_cases as cases
    from support.dask_clusters import cluster_of, rows_of

    _calendar._FIRST = 1  # each round writes the whole table
    assert 4 * NUM_COLUMNS * DIM > LIMIT
    X, y = cases.labelled_bags(num_columns=90)
    step = NUM_COLUMNS // 90
    wide = sparse.csr_matrix((X.data, X.indices * step, X.indptr), (600, NUM_COLUMNS))
    with cluster_of(1) as cluster, distributed.Client(cluster) as client:
        model = DaskEmbeddingBagClassifier(
            *(DIM,),
            optimizer="rowwise_adagrad",
            learning_rate=0.5,
            batch_size=8,
            max_iter=1,
            random_state=0,
            n_blocks=NUM_BLOCKS,
            checkpoint=folder,
        )
        lazy = rows_of(wide, (300, 300))
        model.fit(lazy, rows_of(y, (300, 300)))
        local = (model.predict(wide) == y).mean()
        remote = (client.compute(model.predict(lazy)).result() == y).mean()
    assert local == remote
    try:
        model.embedding_.sum()
    except MemoryError:
        print(f"learned: {local}" if local > 0.6 else f"not learned: {local}")


if __name__ == "__main__":
    main(sys.argv[1])
