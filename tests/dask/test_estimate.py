"""Test the cost model of training on a cluster: its figures and its limits."""

import subprocess
import sys

import pytest

from ebagx.dask import estimate

# A thousand million texts of 50 words: workers, seconds, efficiency in per cent.
LARGE = 1_000_000_000


@pytest.mark.parametrize(("workers", "seconds", "per_cent"), [(64, 122, 67), (16, 351, 94)])
def test_a_thousand_million_texts(workers, seconds, per_cent):
    cost = estimate(LARGE, workers)
    assert round(cost.seconds_per_pass) == seconds
    assert round(100 * cost.efficiency) == per_cent
    assert cost.bytes_per_pass == 2 * 2 * 5_000_000 * (400 + 4 + 4)


def test_the_parts_of_a_pass():
    """Compute, exchange, scheduler and combine of 64 workers, from the definition."""
    compute, exchange, scheduler, combine = 82.24, 16.32, 3.33, 20.0
    total = estimate(LARGE, 64).seconds_per_pass
    assert total == pytest.approx(compute + exchange + scheduler + combine, abs=0.01)
    fast = estimate(LARGE, 64, link_bytes_per_second=1e30).seconds_per_pass
    assert total - fast == pytest.approx(exchange)
    twice = estimate(LARGE, 64, rounds_per_pass=2).seconds_per_pass
    assert twice - total == pytest.approx(exchange + scheduler + combine, abs=0.01)


def test_adagrad_moves_twice_as_much():
    narrow, wide = (estimate(LARGE, 64, optimizer=name) for name in ("rowwise_adagrad", "adagrad"))
    assert wide.bytes_per_pass / narrow.bytes_per_pass == pytest.approx(804 / 408)
    assert estimate(LARGE, 64, optimizer="sgd").bytes_per_pass < narrow.bytes_per_pass
    assert estimate(LARGE, 64, optimizer="adamw").bytes_per_pass > wide.bytes_per_pass


def test_few_lookups_touch_few_rows():
    cost = estimate(2000, 2, lookups_per_row=10, embedding_dim=1, optimizer="sgd")
    assert cost.bytes_per_pass == pytest.approx(4 * 5000 * 8, rel=0.001)


def test_small_data_gain_nothing():
    """A pass over a hundred thousand texts is slower on 16 workers than local training."""
    local = 100_000 * 50 / 9.5e6
    assert estimate(100_000, 16).seconds_per_pass > 2 * local
    assert estimate(100_000, 16).efficiency < 0.1


def test_one_worker_has_no_exchange():
    one = estimate(LARGE, 1)
    assert one.bytes_per_pass == 0
    assert one == estimate(LARGE, 1, link_bytes_per_second=1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1), ValueError, "n_rows must be at least 1, got 0"),
        ((1, 0), ValueError, "n_workers must be at least 1, got 0"),
        ((10**400, 1), ValueError, "n_rows must be at most "),
        ((1, 10**400), ValueError, "n_workers must be at most "),
        ((1.5, 1), TypeError, "n_rows must be an integer, got 1.5"),
        ((1, True), TypeError, "n_workers must be an integer, got True"),
    ],
)
def test_bad_sizes(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        estimate(*arguments)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("embedding_dim", 0, ValueError),
        ("lookups_per_row", 0, ValueError),
        ("lookups_per_row", float("nan"), ValueError),
        ("num_embeddings", 0, ValueError),
        ("link_bytes_per_second", -1, ValueError),
        ("link_bytes_per_second", "fast", TypeError),
        ("optimizer", "momentum", ValueError),
        ("rounds_per_pass", 0, ValueError),
        ("embedding_dim", 10**400, ValueError),
        ("num_embeddings", 10**400, ValueError),
        ("rounds_per_pass", 10**400, ValueError),
    ],
)
def test_bad_options(name, value, error):
    with pytest.raises(error, match=f"^{name} must be "):
        estimate(10, 1, **{name: value})


def test_it_needs_no_dask():
    code = "import sys; sys.modules['dask'] = None; from ebagx.dask import estimate; estimate(1, 1)"
    subprocess.run([sys.executable, "-c", code], check=True)
