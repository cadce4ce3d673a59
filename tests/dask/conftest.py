"""Clusters of processes for the tests of training on Dask."""

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("distributed")

import distributed

from ebagx.dask import _calendar
from support.dask_clusters import cluster_of


@pytest.fixture(scope="module")
def few_rounds():
    """Let the first pass have two rounds, in place of eight, which take their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_calendar, "_FIRST", 2)
        yield


@pytest.fixture(scope="session")
def one_worker():
    """Yield a client of one worker."""
    with cluster_of(1) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(scope="session")
def two_workers():
    """Yield a client of two workers."""
    with cluster_of(2) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client
