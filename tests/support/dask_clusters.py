"""Clusters of Dask on this machine, and collections with chunks of given lengths."""

import time

import dask.array as da
import distributed
import numpy as np

import dask


def cluster_of(num_workers):
    """Return a cluster of processes on the loopback interface, whose ports nobody else has."""
    return distributed.LocalCluster(
        n_workers=num_workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )


def rows_of(values, lengths, known=True, load=None):
    """Return an array of Dask whose chunks have these lengths, of which some may be 0.

    `load`, if given, is called with each chunk when a worker makes it.
    """
    blocks, start = [], 0
    for length in lengths:
        chunk = dask.delayed(_rows)(values[start : start + length], load)
        # Chunks that seem to have a row each: Dask would leave out those without any.
        shape = 1, *values.shape[1:]
        blocks.append(da.from_delayed(chunk, shape, values.dtype, meta=values[:0]))
        start += length
    array = da.concatenate(blocks)
    rows = tuple(length if known else np.nan for length in lengths)
    array._chunks = rows, *array.chunks[1:]
    return array


def _rows(rows, load):
    return rows if load is None else load(rows)


def serve(connection):
    """Run a cluster of one worker in this process, until it is killed; send its address."""
    cluster = cluster_of(1)
    connection.send(cluster.scheduler_address)
    while True:
        time.sleep(1)
