"""Test that long calls run in pieces, with the same bits, and Ctrl-C takes effect in between."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import ebagx
from ebagx._core import backward, pieces
from ebagx._core.memory import Scratch

N, D = 40, 70
MODES = ("sum", "mean", "sqrtn", "max", "min")


def make_bags(rng):
    """Return bags of very different sizes, one of them larger than all pieces tried here."""
    lengths = np.array([3, 0, 400, 1, 1, 0, 25, 2])
    ids = rng.integers(0, N, lengths.sum())
    return ids, np.concatenate([[0], np.cumsum(lengths)[:-1]])


def all_results(mode, num_threads):
    rng = np.random.default_rng(7)
    table = rng.standard_normal((N, D)).astype(np.float32)
    ids, offsets = make_bags(rng)
    options = {"mode": mode, "num_threads": num_threads}
    if mode in ("sum", "mean", "sqrtn"):
        options["per_sample_weights"] = rng.random(len(ids), np.float32)
    pooled = ebagx.embedding_bag(ids, table, offsets, **options)
    grad = rng.standard_normal(pooled.shape).astype(np.float32)
    sparse, of_weights = ebagx.embedding_bag_backward(
        grad, ids, table, offsets, sparse="rows", **options
    )
    dense, _ = ebagx.embedding_bag_backward(grad, ids, table, offsets, **options)
    results = [pooled, sparse.values, dense]
    return results if of_weights is None else [*results, of_weights]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("piece", [1, 500, 5_000, 20_000])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_pieces_do_not_change_bits(monkeypatch, mode, piece, num_threads):
    whole = all_results(mode, 1)
    monkeypatch.setattr(pieces, "_PIECE", piece)
    monkeypatch.setattr(backward, "_CACHED_BYTES", 4 * piece)
    for got, expected in zip(all_results(mode, num_threads), whole, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("piece", [1, 500, 5_000, 20_000])
@pytest.mark.parametrize("dim", [1, 15, 16, 70])
def test_pieces_cover_everything_once(monkeypatch, piece, dim):
    monkeypatch.setattr(pieces, "_PIECE", piece)
    _, offsets = make_bags(np.random.default_rng(7))
    offsets = np.append(offsets, 432)
    covered = np.zeros((len(offsets) - 1, dim), int)
    for bags, ends, columns in pieces.pieces(offsets, dim):
        covered[bags, columns] += 1
        assert (ends.start, ends.stop) == (bags.start, bags.stop + 1)
        lookups = offsets[bags.stop] - offsets[bags.start]
        width = len(range(dim)[columns])
        assert lookups * width <= piece or (bags.stop - bags.start == 1 and width <= 16)
    assert np.all(covered == 1)


def test_pieces_of_offsets_near_the_end_of_int32():
    last = 2**31 - 1
    offsets = np.array([0, last - 2**26, last - 2**25, last], np.int32)
    bags = [(bags.start, bags.stop) for bags, _, columns in pieces.pieces(offsets, 8)]
    assert bags[-2:] == [(1, 2), (2, 3)]


def test_rows_too_many_for_a_key_with_the_bag_in_one_word():
    table = np.empty((2**60, 0), np.float32)
    ids = np.full((17, 2), 7)
    ids[[0, 5]] = [2**59, 5], [5, 2**60 - 1]
    gradient = ebagx.embedding_bag_backward(np.empty((17, 0)), ids, table, sparse="rows").weight
    np.testing.assert_array_equal(gradient.rows, [5, 7, 2**59, 2**60 - 1])


def test_scratch_memory_is_not_shared_by_nested_use():
    with Scratch(1000) as outer:
        first = outer.empty(100, np.int64)
        first[:] = 1
        with Scratch(1000) as inner:
            second = inner.empty(100, np.int64)
            second[:] = 2
            assert not np.shares_memory(first, second)
        more = outer.empty(10_000, np.int64)  # more than the scratch has
        more[:] = 3
        assert np.all(first == 1)


@pytest.mark.compiled
@pytest.mark.skipif(os.name != "posix", reason="the signal is sent with kill")
@pytest.mark.parametrize("call", ["forward", "backward"])
def test_interrupt_is_heard_in_a_call_of_many_seconds(call):
    script = f"""
        import signal
        import numpy as np, ebagx
        signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
        # Half a minute of work: one bag that looks one row up again and again.
        ids = np.zeros(5_000_000, np.int64)
        table = np.ones((4, 20_000), np.float32)
        grad = np.ones((1, 20_000), np.float32)
        print("ready", flush=True)
        try:
            if {call!r} == "forward":
                ebagx.embedding_bag(ids, table, [0], mode="sum")
            else:
                ebagx.embedding_bag_backward(grad, ids, table, [0], mode="sum", sparse="rows")
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        assert process.stdout.readline() == "interrupted\n"
        # The goal is one second; a busy machine may take longer, but much less than the call.
        assert time.monotonic() - sent < 8
