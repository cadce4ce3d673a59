"""Compare training with its twin, bit for bit: losses, rules, limits, layers, threads."""

import math
from itertools import product

import numpy as np
import pytest

from ebagx._core.bags import Bags
from ebagx._core.modes import MODES
from ebagx._kernels import lookups_reference, reference, training_reference
from ebagx.optim.rules import RULES
from support import kernel_cases as cases
from support.training_cases import (
    LOSSES,
    B,
    F,
    N,
    assert_equals_twin,
    make_call,
    results,
)


@cases.levels
@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "dims", [(32, 10), (5, 3, 1), (50, 20, 7), (16, 131), (3, 70), (8, 6, 9, 2)]
)
def test_losses_and_layers(level, loss, dims, num_threads):
    weighted = loss in ("softmax", "huber")
    call = make_call(loss, dims=dims, weighted=weighted, num_threads=num_threads, batch_size=20)
    assert_equals_twin(level, call)


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("num_threads", [1, 2, 3, 8])
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize(("dims", "drawn"), [((32, 90), 11), ((5, 3, 400), 70), ((40, 9), 1)])
def test_some_classes(level, loss, dims, drawn, num_threads, index_dtype):
    call = make_call(
        *(loss,),
        dims=dims,
        drawn=drawn,
        num_threads=num_threads,
        index_dtype=index_dtype,
        batch_size=20,
        weighted=loss == "softmax",
    )
    assert_equals_twin(level, call)


@cases.levels
@pytest.mark.parametrize("decay", [None, "l2", "decoupled"])
@pytest.mark.parametrize("rule", RULES)
def test_rules_and_decay_of_some_classes(level, rule, decay):
    call = make_call(rule=rule, decay=decay, dims=(17, 100), drawn=5, num_threads=2, room=90)
    assert_equals_twin(level, call)
    before, after = call[7][0][0], results(level.train_batches, call)[5]
    touched = np.unique(np.concatenate([call[2][1], call[5][0].ravel()]))
    others = np.setdiff1d(np.arange(100), touched)
    assert len(others)
    cases.assert_same_bits(after[others], before[0][others])


@cases.levels
@pytest.mark.parametrize("limits", [(0.02, 0.05, math.inf), (math.inf, math.inf, 0.1)])
def test_limits_of_some_classes(level, limits):
    assert_equals_twin(level, make_call("sigmoid", limits=limits, dims=(20, 60), drawn=9))


@cases.levels
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_all_classes_of_weight_1_are_no_choice(level, loss):
    """A batch that has all classes in order, each of weight 1, takes the steps of the full loss."""
    full = make_call(loss, dims=(8, 30), batch_size=7)
    some = make_call(loss, dims=(8, 30), batch_size=7, drawn=30)
    some[5][0][...] = np.arange(30)
    some[5][1][...] = 1
    some[1], some[2] = full[1], full[2]
    some[7], some[8] = full[7], full[8]
    for array, wanted in zip(
        results(level.train_batches, some), results(level.train_batches, full), strict=True
    ):
        np.testing.assert_allclose(array, wanted, rtol=2e-4, atol=2e-5)


@cases.levels
@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("decay", [None, "l2", "decoupled"])
@pytest.mark.parametrize("rule", RULES)
def test_rules_and_decay(level, rule, decay, num_threads):
    call = make_call(rule=rule, decay=decay, dims=(17, 4, 5), num_threads=num_threads)
    assert_equals_twin(level, call)


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("norm", [lookups_reference.NORM_L1, lookups_reference.NORM_L2])
def test_weights_are_divided_by_the_norm_of_their_bag(level, norm, index_dtype):
    """The weights are those by which `scaled_for` lets estimators predict."""
    pytest.importorskip("sklearn")
    from ebagx._training.bags import scaled_for

    mode = {1: "mean", 2: "sqrtn"}[norm]
    call = make_call(index_dtype=index_dtype, norm=norm, num_threads=2)
    indices, offsets, weights, order = call[1]
    zero, tiny, huge = np.flatnonzero(np.diff(offsets) > 3)[:3]
    weights[offsets[zero] : offsets[zero + 1]] = 0
    weights[offsets[tiny]] = 1e-30
    weights[offsets[huge]] = 3e38  # whose square is infinite
    assert_equals_twin(level, call)
    scaled = scaled_for(MODES[mode], Bags(indices, offsets, weights))
    other = make_call(index_dtype=index_dtype)
    other[1] = *scaled, order
    for array, wanted in zip(
        results(level.train_batches, call), results(level.train_batches, other), strict=True
    ):
        cases.assert_same_bits(array, wanted)


@cases.levels
@pytest.mark.parametrize("num_threads", [1, 8])
@pytest.mark.parametrize("value", [0.02, math.inf])
@pytest.mark.parametrize("row_norm", [0.05, math.inf])
@pytest.mark.parametrize("norm", [0.2, 1e9, math.inf])
def test_limits(level, value, row_norm, norm, num_threads):
    limits = value, row_norm, norm
    assert_equals_twin(level, make_call(limits=limits, dims=(20, 6, 5), num_threads=num_threads))


@cases.levels
@cases.index_dtypes
@pytest.mark.parametrize("batch_size", [1, 2, 16, 33, 37, 100])
def test_sizes_of_batches(level, index_dtype, batch_size):
    call = make_call(batch_size=batch_size, index_dtype=index_dtype, dims=(8, 3), room=90)
    assert_equals_twin(level, call)


@cases.levels
@pytest.mark.parametrize("num_threads", [2, 3, 8])
def test_same_bits_for_any_number_of_threads(level, num_threads):
    one = results(level.train_batches, make_call("sigmoid", dims=(64, 300), batch_size=37))
    more = make_call("sigmoid", dims=(64, 300), batch_size=37, num_threads=num_threads)
    for _ in range(5):
        for array, wanted in zip(results(level.train_batches, more), one, strict=True):
            cases.assert_same_bits(array, wanted)


@cases.levels
def test_numbers_of_rows_start_again(level):
    """Before the numbers of touched rows are too large, all slots are cleared."""
    call = make_call(room=90)
    expected = results(level.train_batches, call)
    call[4][0][:] = 2**31 - 50
    call[4][1][:] = 2**31 - 40
    for array, wanted in zip(results(level.train_batches, call), expected, strict=True):
        cases.assert_same_bits(array, wanted)


@cases.levels
def test_numbers_of_classes_start_again(level):
    call = make_call(dims=(8, 90), drawn=9)
    expected = results(level.train_batches, call)
    call[5][2][:] = 2**31 - 50
    call[5][3][:] = 2**31 - 40
    for array, wanted in zip(results(level.train_batches, call), expected, strict=True):
        cases.assert_same_bits(array, wanted)


@cases.levels
@pytest.mark.parametrize("bad", [-1, N, 2**31 - 1])
def test_changed_by_another_thread(level, bad):
    """Rows, bags and classes outside their arrays give wrong numbers, not wild addresses."""
    for loss, drawn in product(("softmax", "sigmoid", "huber"), (0, 5)):
        call = make_call(loss, batch_size=16, drawn=0 if loss == "huber" else drawn)
        call[5][0][::2] = bad
        indices, offsets, _, order = call[1]
        indices[::7], order[::3], offsets[5], offsets[9] = bad, bad, bad, -bad
        call[2][0][4:8] = bad
        call[2][1][::3] = bad
        results(level.train_batches, call)


@cases.levels
def test_more_lookups_than_the_caller_counted(level):
    call = make_call(batch_size=B)
    call[3] = tuple(array[:20] for array in call[3])
    results(level.train_batches, call)


@cases.levels
def test_more_labels_than_the_caller_counted(level):
    call = make_call("sigmoid", batch_size=B, dims=(8, 90), drawn=9)
    classes, counts, places, *rest = call[6]
    call[6] = np.ascontiguousarray(classes[:, :7]), counts, places[:, :5].copy(), *rest
    results(level.train_batches, call)


@cases.levels
def test_nan_and_infinity_are_seen_in_the_losses(level):
    for value in (np.nan, np.inf):
        for loss in LOSSES:
            call = make_call(loss, num_threads=2)
            call[8][0][...] = value
            assert not np.isfinite(results(level.train_batches, call)[0]).all()


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "exp_f64"])
def test_functions(name):
    low, high = {"exp": (-87, 88), "log": (1e-30, 1e30), "log1p": (0, 1), "exp_f64": (-700, 0)}[
        name
    ]
    dtype = np.float64 if name == "exp_f64" else F
    x = np.linspace(low, high, 100_001).astype(dtype)
    if name == "log":
        x = np.geomspace(low, high, 100_001).astype(dtype)
    exact = getattr(np, name.removesuffix("_f64"))(x.astype(np.longdouble))
    found = getattr(training_reference, name)(x)
    np.testing.assert_allclose(found, exact.astype(dtype), rtol=3e-7 if dtype == F else 4e-16 * 4)


def test_functions_beyond_their_range():
    x = np.array([-np.inf, -88, 89, np.inf, np.nan], F)
    np.testing.assert_array_equal(training_reference.exp(x), [0, 0, np.inf, np.inf, np.nan])
    assert training_reference.exp(np.zeros(1, F)) == training_reference.exp_f64(np.zeros(1)) == 1
    assert np.isnan(training_reference.log(np.array([np.nan], F)))


def test_layers_must_be_few():
    call = make_call()
    for layers in ((), call[7] * 4):
        with pytest.raises(ValueError, match="1 to 3 layers"):
            next(iter(cases.LEVELS.values())).train_batches(*call[:7], layers, *call[8:])


def test_constants_are_equal():
    assert reference.LANES == training_reference.STRIP
