"""Test that options behave after an assignment as if the optimizer had been made with them."""

import copy
import pickle

import numpy as np
import pytest

from ebagx.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RowwiseAdagrad, linear_decay
from support import optim_cases as cases

KINDS = (SGD, Adagrad, RowwiseAdagrad, Adam, AdamW)
kinds = pytest.mark.parametrize("kind", KINDS)
BETAS = {"betas": (0.5, np.float32(0.25))}
SIZES = {"eps": 0.5}
START = {"initial_accumulator_value": 2}
COMMON = {
    "learning_rate": np.float32(0.25),
    "weight_decay": 1,
    "clip_value": np.float64(0.5),
    "clip_row_norm": 2,
    "clip_norm": 0.75,
    "num_threads": np.int64(2),
}
OWN = {
    SGD: {"momentum": 0.5, "nesterov": np.True_},
    Adagrad: SIZES | START,
    RowwiseAdagrad: SIZES | START,
    Adam: BETAS | SIZES,
    AdamW: BETAS | SIZES,
}
OPTIONS = [(kind, name, value) for kind in KINDS for name, value in (COMMON | OWN[kind]).items()]
options = pytest.mark.parametrize(
    ("kind", "name", "value"), OPTIONS, ids=[f"{o[0].__name__}-{o[1]}" for o in OPTIONS]
)
BAD_NUMBERS = (-1, float("nan"), float("inf"), "1", None, True, 1j, [1.0], np.array([1.0, 2.0]))
BAD = {
    "learning_rate": BAD_NUMBERS,
    "weight_decay": BAD_NUMBERS,
    "eps": BAD_NUMBERS,
    "initial_accumulator_value": BAD_NUMBERS,
    "momentum": (*BAD_NUMBERS, 1, 5),
    "nesterov": (1, 0, None, "yes", np.array(True)),
    "betas": ((1, 0.9), (0.9, 1.0), (-0.1, 0), (0.9,), (0, 0, 0), 0.9, None, "ab", (True, 0)),
    **dict.fromkeys(("clip_value", "clip_row_norm", "clip_norm"), (0, -1, np.nan, np.inf, "1")),
    "num_threads": (0, -1, 1.0, "2", True),
    "num_steps": (-1, 1.5, None, True, 2**70),
}


def needed(name):
    """Return options that must come with an option."""
    return {"momentum": 0.5} if name == "nesterov" else {}


def trained(optimizer):
    table = cases.start()
    for step in range(4):
        optimizer.update(table, cases.gradient(step))
    return table


@options
def test_assigned_options_do_what_arguments_do(kind, name, value):
    made = kind(**needed(name), **{name: value})
    assigned = kind(**needed(name))
    setattr(assigned, name, value)
    assert getattr(assigned, name) == getattr(made, name) == value
    assert type(getattr(assigned, name)) is type(getattr(made, name))
    assert repr(assigned) == repr(made)
    np.testing.assert_array_equal(trained(assigned), trained(made))
    if name != "num_threads":
        assert not np.array_equal(trained(kind(**needed(name))), trained(made.fresh()))


@options
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_have_the_options(kind, name, value, way):
    optimizer = kind(**needed(name))
    setattr(optimizer, name, value)
    other = way(optimizer)
    assert repr(other) == repr(optimizer)
    with pytest.raises((TypeError, ValueError)):
        setattr(other, name, BAD[name][0])
    with pytest.raises(AttributeError):
        other.clipnorm = 1


BAD_OPTIONS = [
    (kind, name, value)
    for kind in KINDS
    for name in [*COMMON, *OWN[kind], "num_steps"]
    for value in BAD[name]
]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    BAD_OPTIONS,
    ids=[f"{kind.__name__}-{name}-{value}" for kind, name, value in BAD_OPTIONS],
)
def test_bad_options_raise_as_arguments_do_and_change_nothing(kind, name, value):
    optimizer = kind(**needed(name))
    trained(optimizer)
    before = optimizer.state_dict()
    with pytest.raises((TypeError, ValueError)) as assigned:
        setattr(optimizer, name, value)
    if name != "num_steps":
        with pytest.raises((TypeError, ValueError)) as made:
            kind(**needed(name), **{name: value})
        assert str(made.value) == str(assigned.value)
        assert made.type is assigned.type
    assert optimizer.state_dict() == before


@kinds
@pytest.mark.parametrize("name", ["clipnorm", "lr", "weight", "update", "name", "beta1", "state"])
def test_other_attributes_raise(kind, name):
    optimizer = kind()
    message = rf"^{kind.__name__} has no attribute '{name}' that can be assigned; it has learning_"
    with pytest.raises(AttributeError, match=message):
        setattr(optimizer, name, 1.0)


class Tagged(Adam):
    """A subclass with an attribute and a signature of its own."""

    def __init__(self, tag, **options):
        super().__init__(0.1, **options)
        self.tag = tag


@pytest.mark.parametrize(
    "way",
    [
        copy.copy,
        copy.deepcopy,
        Tagged.fresh,
        *(lambda o, p=p: pickle.loads(pickle.dumps(o, p)) for p in range(6)),
    ],
)
def test_subclasses_may_have_attributes(way):
    optimizer = Tagged(["a"], clip_norm=1.0)
    expected = trained(optimizer)
    other = way(optimizer)
    assert type(other) is Tagged
    assert other.tag == ["a"]
    assert repr(other) == repr(optimizer) == "Tagged(learning_rate=0.1, clip_norm=1.0)"
    if way is Tagged.fresh:
        np.testing.assert_array_equal(trained(other), expected)
    other.tag = 5
    with pytest.raises(ValueError, match="^clip_norm must be positive"):
        other.clip_norm = -1


@kinds
def test_options_cannot_be_deleted(kind):
    optimizer = kind()
    with pytest.raises(AttributeError, match=f"^weight_decay of {kind.__name__} cannot be deleted"):
        del optimizer.weight_decay
    trained(optimizer)


def test_copies_of_an_optimizer_that_is_part_of_itself():
    class Trainer:
        def __init__(self):
            self.optimizer = Tagged(self)
            self.optimizer.learning_rate = self.rate

        def rate(self, step):
            return 0.5 / (step + 1)

    other = copy.deepcopy(Trainer().optimizer)
    assert other.tag.optimizer is other
    assert other.learning_rate.__self__ is other.tag
    trained(other)
    del other.tag


class TestNesterov:
    """Momentum of 0 and nesterov do not go together, whichever comes first."""

    def test_is_assigned_first(self):
        optimizer = SGD()
        with pytest.raises(ValueError, match="^nesterov needs momentum, which is 0$"):
            optimizer.nesterov = True
        assert repr(optimizer) == "SGD(learning_rate=0.01)"

    def test_is_there_when_momentum_becomes_0(self):
        optimizer = SGD(momentum=0.5, nesterov=True)
        with pytest.raises(ValueError, match="^nesterov needs momentum, which is 0$"):
            optimizer.momentum = 0
        assert optimizer.momentum == 0.5

    def test_both_may_be_taken_back(self):
        optimizer = SGD(momentum=0.5, nesterov=True)
        optimizer.nesterov = False
        optimizer.momentum = 0
        np.testing.assert_array_equal(trained(optimizer), trained(SGD()))

    def test_a_loaded_state_may_change_both(self):
        plain, optimizer = SGD(), SGD(momentum=0.5, nesterov=True)
        for one, other in ((plain, optimizer.fresh()), (optimizer, SGD())):
            expected = repr(other)
            one.load_state_dict(other.state_dict())
            assert repr(one) == expected

    def test_a_loaded_state_may_not_have_one_alone(self):
        optimizer, state = SGD(), SGD(momentum=0.5).state_dict()
        with pytest.raises(ValueError, match="^nesterov needs momentum, which is 0$"):
            optimizer.load_state_dict({**state, "momentum": 0.0, "nesterov": True})
        assert repr(optimizer) == "SGD(learning_rate=0.01)"


@pytest.mark.torch
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_that_is_assigned_does_what_pytorch_does(nesterov):
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor(cases.start()))
    theirs, ours = torch.optim.SGD([parameter], lr=0.1), SGD(0.1)
    table, (group,) = cases.start(), theirs.param_groups
    for step, momentum in enumerate([0.0, 0.9, 0.9, 0.0, 0.0, 0.5, 0.9]):
        ours.nesterov = group["nesterov"] = False
        ours.momentum = group["momentum"] = momentum
        ours.nesterov = group["nesterov"] = nesterov and momentum > 0
        gradient = cases.gradient(step, cases.ALL_ROWS)
        parameter.grad = torch.tensor(gradient.values)
        theirs.step()
        ours.update(table, gradient)
        loaded = SGD()  # the velocity is in the state also while there is no momentum
        loaded.load_state_dict(ours.state_dict())
        loaded.unbind()
        ours = loaded
    np.testing.assert_allclose(table, parameter.detach().numpy(), rtol=1e-11)


@pytest.mark.parametrize("kind", [Adagrad, RowwiseAdagrad])
def test_initial_accumulator_value_stays_after_the_first_step(kind):
    optimizer = kind(initial_accumulator_value=0.5)
    optimizer.initial_accumulator_value = 0.25
    trained(optimizer)
    with pytest.raises(ValueError, match="is 0.25 in the sums of squares, .* cannot become 3.0"):
        optimizer.initial_accumulator_value = 3
    optimizer.initial_accumulator_value = 0.25
    other = kind()
    other.load_state_dict(optimizer.state_dict())
    assert other.initial_accumulator_value == 0.25


def test_rates_and_schedules_may_be_exchanged():
    table, expected = cases.start(), cases.start()
    optimizer, rates = SGD(0.5), []
    for step, rate in enumerate([0.5, linear_decay(1, 10), lambda step: 0.25, 0]):
        optimizer.learning_rate = rate
        optimizer.update(table, cases.gradient(step))
        rates.append(rate(step) if callable(rate) else rate)
        expected -= rates[-1] * cases.gradient(step).toarray()
    assert rates == [0.5, 0.9, 0.25, 0]
    np.testing.assert_allclose(table, expected, rtol=1e-12)


def test_num_steps_is_the_step_of_schedules_and_of_adam():
    asked = []
    optimizer = Adam(lambda step: asked.append(step) or 0.1)
    optimizer.num_steps = np.int32(7)
    trained(optimizer)
    assert asked == [7, 8, 9, 10]
    assert type(optimizer.num_steps) is int


def test_options_are_checked_when_they_are_set_and_not_in_steps(monkeypatch):
    from ebagx.optim import optimizer as module, options as checks

    optimizer, table = Adam(clip_norm=1.0, weight_decay=0.1), cases.start()
    optimizer.update(table, cases.gradient(0))
    for place in (module, checks):
        monkeypatch.setattr(place, "check_number", None)
    optimizer.update(table, cases.gradient(1))
    with pytest.raises(TypeError):
        optimizer.eps = 1


def test_the_base_class_has_options_too():
    optimizer = Optimizer(0.5)
    optimizer.weight_decay = 0.5
    assert repr(optimizer) == "Optimizer(learning_rate=0.5, weight_decay=0.5)"
    optimizer.load_state_dict(optimizer.state_dict())
