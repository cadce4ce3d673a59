"""Run sequences of calls of an EmbeddingBag, drawn by hypothesis, against the model."""

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import ebagx
from fuzz.model import OptimizerModel, renormed
from support import definition
from support.strategies import FORMS, MODES, WEIGHTED_MODES, Call, bags_for, lookups

RULES = ("SGD", "Adagrad", "RowwiseAdagrad", "Adam", "AdamW")
DTYPES = (np.float64, np.float32)
# Numbers are not close to a rounding step, as the model adds up in another order.
CLOSE = {"rtol": 1e-3, "atol": 1e-3}

seeds = st.integers(0, 2**16)


def numbers(seed: int, *shape: int) -> np.ndarray:
    """Return numbers of a seed."""
    return np.random.default_rng(seed).standard_normal(shape)


def through_file(state: dict[str, Any]) -> Any:
    """Return a state dict that was saved and loaded."""
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    return np.load(file, allow_pickle=False)


class ModuleLife(RuleBasedStateMachine):
    """Everything a module and its optimizer offer, in any order, errors included."""

    @initialize(
        sizes=st.tuples(st.integers(1, 7), st.sampled_from([1, 2, 3, 9])),
        mode=st.sampled_from(MODES),
        sparse=st.sampled_from([False, True, "rows"]),
        by_freq=st.booleans(),
        padded=st.booleans(),
        invalid=st.sampled_from(["raise", "skip"]),
        filled=st.booleans(),
        max_norm=st.sampled_from([None, None, 1.0]),
        dtype=st.sampled_from(DTYPES),
        seed=seeds,
    )
    def construct(
        self, sizes: Any, mode: str, sparse: Any, by_freq: bool, padded: bool, invalid: str,
        filled: bool, max_norm: Any, dtype: Any, seed: int,
    ) -> None:  # fmt: skip
        """Begin with a module of a given table."""
        self.mode, self.by_freq, self.max_norm = mode, by_freq, max_norm
        padding_idx = seed % sizes[0] if padded else None
        default_row = seed // 7 % sizes[0] if filled else None
        self.policies = padding_idx, invalid, default_row
        self.bag = ebagx.EmbeddingBag(
            *sizes, max_norm, scale_grad_by_freq=by_freq, mode=mode, sparse=sparse,
            padding_idx=padding_idx, invalid=invalid, default_row=default_row,
            _weight=numbers(seed, *sizes).astype(dtype),
        )  # fmt: skip
        self.table = self.bag.weight.astype("f8")
        self.grad: np.ndarray | None = None
        self.weights_grad: np.ndarray | None = None
        self.kept: tuple[Any, ...] | None = None
        self.touched: set[int] = set()
        self.assigned = False
        self.make_optimizer("SGD", {}, 0.1)

    @rule(name=st.sampled_from(RULES), rate=st.sampled_from([0.1, 0.0, 0.5]), data=st.data())
    def new_optimizer(self, name: str, rate: float, data: Any) -> None:
        """Take another optimizer."""
        options: dict[str, Any] = data.draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "weight_decay": st.sampled_from([0.0, 0.5]),
                    "clip_value": st.just(0.5),
                    "clip_row_norm": st.just(0.7),
                    "clip_norm": st.just(0.9),
                },
            )
        )
        if name == "SGD":
            options["momentum"] = data.draw(st.sampled_from([0.0, 0.5]))
        else:
            options["eps"] = 0.1
        self.make_optimizer(name, options, rate)

    def make_optimizer(self, name: str, options: dict[str, Any], rate: float) -> None:
        """Make an optimizer and its model."""
        self.optimizer = getattr(ebagx.optim, name)(rate, **options)
        self.optimizer_model = OptimizerModel(name, rate, options)

    @rule(decay=st.sampled_from([0.0, 0.5]), rate=st.sampled_from([0.1, 0.0, 0.5]))
    def assign_options(self, decay: float, rate: float) -> None:
        """Assign options of the optimizer."""
        self.optimizer.weight_decay = self.optimizer_model.decay = decay
        self.optimizer.learning_rate = self.optimizer_model.rate = rate
        self.optimizer_model.clip_norm = self.optimizer.clip_norm = rate or None

    @rule(data=st.data(), form=st.sampled_from(FORMS))
    def forward(self, data: Any, form: str) -> None:
        """Look up bags of any form."""
        bags = data.draw(bags_for(form, len(self.table), self.policies[1] == "skip"))
        weighted = self.mode in WEIGHTED_MODES and (
            form in ("csr", "csc", "coo") or data.draw(st.booleans())
        )
        weights = (
            [[(row * 7 % 5 + 1) / 4 for row in bag] for bag in bags]
            if weighted or form in ("csr", "csc", "coo")
            else None
        )
        call = Call(self.bag.weight, self.mode, self.policies[0], form, bags, weights)
        given = data.draw(lookups(call))
        self.bag.include_last_offset = given.pop("include_last_offset", False)
        pooled = self.bag(**{name: value for name, value in given.items() if value is not None})
        if self.max_norm is not None:
            looked_up = [row for bag in bags for row in bag if 0 <= row < len(self.table)]
            entries = definition.kept_entries(self.table, bags, None, *self.policies)
            rows = set(looked_up).union(*(kept.tolist() for kept, _, _ in entries))
            self.table = renormed(self.table, rows, self.max_norm, 2.0)
        of_call = weights if self.mode in WEIGHTED_MODES else None
        meaning = self.table.copy(), bags, of_call, self.mode, *self.policies
        np.testing.assert_allclose(pooled, definition.pooled(*meaning), **CLOSE)
        if self.bag.training:
            self.kept = (*meaning, given.get("per_sample_weights") is not None)

    @rule(seed=seeds)
    def backward(self, seed: int) -> None:
        """Go backward; without a forward call it raises."""
        if self.kept is None:
            self.refuse(RuntimeError, lambda: self.bag.backward(np.ones((1, 1))))
            return
        grad = numbers(seed, len(self.kept[1]), self.table.shape[1])
        if not self.fits_weights():
            self.refuse(ValueError, lambda: self.bag.backward(grad))
            return
        self.settle_assigned()
        self.bag.backward(grad)
        gradient = self.model_gradient(grad)
        self.grad = gradient if self.grad is None else self.grad + gradient
        self.forget_forward(grad)

    @rule(seed=seeds)
    def backward_update(self, seed: int) -> None:
        """Go backward and step in one call."""
        if self.kept is None or not self.fits_weights() or self.wrong_optimizer():
            return
        grad = numbers(seed, len(self.kept[1]), self.table.shape[1])
        self.bag.backward_update(grad, self.optimizer)
        rows = self.kept_rows()
        self.optimizer_model.step(self.table, rows, self.model_gradient(grad))
        self.forget_forward(grad, touched=False)

    def fits_weights(self) -> bool:
        """Return whether the gradient of the weights can be added to the present one."""
        if self.kept is None or not self.kept[-1] or self.weights_grad is None:
            return True
        shape = self.bag._saved.weights_shape if self.bag._saved else None
        return shape == self.bag.per_sample_weights_grad.shape

    def wrong_optimizer(self) -> bool:
        """Return whether the optimizer has the state of a table of another dtype."""
        real = self.bag.weight.dtype
        return any(array.dtype != real for array in self.optimizer._state.values())

    def kept_rows(self) -> list[int]:
        """Return the rows that the kept call touches, padding aside."""
        assert self.kept is not None
        table, bags, _, _, *policies, _ = self.kept
        return definition.touched_rows(table, bags, *policies)

    def model_gradient(self, grad: np.ndarray) -> np.ndarray:
        """Return the table's gradient of the kept call."""
        assert self.kept is not None
        return definition.table_gradient(grad, *self.kept[:-1], by_freq=self.by_freq)

    def forget_forward(self, grad: np.ndarray, touched: bool = True) -> None:
        """End a backward pass."""
        assert self.kept is not None
        if touched:
            self.touched |= set(self.kept_rows())
        if self.kept[-1]:
            of_bags = definition.weights_gradient(grad, *self.kept[:-1])
            flat = np.concatenate([*of_bags, np.zeros(0)])
            self.weights_grad = flat if self.weights_grad is None else self.weights_grad + flat
        self.kept = None

    @rule()
    def step(self) -> None:
        """Step with the sum of gradients; without a gradient it raises."""
        if self.grad is None:
            self.refuse(RuntimeError, lambda: self.optimizer.step(self.bag))
            return
        if self.wrong_optimizer():
            self.refuse(ValueError, lambda: self.optimizer.step(self.bag))
            return
        self.optimizer.step(self.bag)
        self.optimizer_model.step(self.table, sorted(self.rows_of_step()), self.grad)

    def rows_of_step(self) -> set[int]:
        """Return the rows that bags have touched, or those of an assigned array."""
        assert self.grad is not None
        nonzero = {row for row in range(len(self.table)) if self.grad[row].any()}
        return nonzero if self.assigned else self.touched | nonzero

    @rule()
    def catch_up(self) -> None:
        """Settle the weight decay."""
        if not self.wrong_optimizer() and self.optimizer_model.decay:
            self.optimizer.catch_up(self.bag.weight)
            self.optimizer_model.settle(self.table)

    @rule()
    def zero_grad(self) -> None:
        """Drop the gradients."""
        self.bag.zero_grad()
        self.grad, self.weights_grad, self.touched, self.assigned = None, None, set(), False

    def settle_assigned(self) -> None:
        """Take the rows of an assigned array, as the module does when something is added."""
        if self.assigned:
            self.touched, self.assigned = self.rows_of_step(), False

    @rule(seed=seeds, form=st.sampled_from(["dense", "rows", "bsr"]))
    def assign_grad(self, seed: int, form: str) -> None:
        """Assign a gradient of any form."""
        self.grad = numbers(seed, *self.table.shape)
        self.grad[seed % len(self.grad)] = 0
        given = self.grad.astype(self.bag.weight.dtype)
        rows = np.flatnonzero(given.any(axis=1))
        gradient = ebagx.RowGradient(rows, given[rows], given.shape)
        self.bag.grad = {"dense": given, "rows": gradient, "bsr": gradient.tobsr()}[form]
        self.touched, self.assigned = (
            set(rows.tolist()),
            self.bag.sparse is False and form == "dense",
        )

    @precondition(lambda self: self.grad is not None)
    @rule(factor=st.sampled_from([0.5, -1, 0]))
    def scale_grad(self, factor: float) -> None:
        """Multiply the gradient in place; a factor of 0 is as good as `zero_grad`."""
        assert self.grad is not None
        self.bag.grad *= factor
        if not factor and self.grad.any():
            self.touched = set()
        self.grad = factor * self.grad

    @precondition(lambda self: self.grad is not None)
    @rule()
    def zero_by_hand(self) -> None:
        """Set the numbers of the gradient to 0."""
        assert self.grad is not None
        grad = self.bag.grad
        array = grad if self.bag.sparse is False else getattr(grad, "values", None)
        (grad.data if array is None else array)[...] = 0
        if self.grad.any():
            self.touched = set()
        self.grad = np.zeros_like(self.grad)

    @rule(sparse=st.sampled_from([False, True, "rows"]))
    def change_form(self, sparse: Any) -> None:
        """Change the form of the gradient."""
        if sparse != self.bag.sparse and self.grad is not None:
            self.settle_assigned()
        self.bag.sparse = sparse

    @rule(invalid=st.sampled_from(["raise", "skip"]), filled=st.booleans(), seed=seeds)
    def assign_policies(self, invalid: str, filled: bool, seed: int) -> None:
        """Assign other policies; a call that is kept for backward has those before."""
        default_row = seed % len(self.table) if filled else None
        self.bag.invalid, self.bag.default_row = invalid, default_row
        self.policies = self.policies[0], invalid, default_row

    @rule(training=st.booleans())
    def train(self, training: bool) -> None:
        """Change between training and eval mode."""
        self.bag.train(training)
        if not training:
            self.kept = None

    @rule(seed=seeds, dtype=st.sampled_from(DTYPES))
    def assign_weight(self, seed: int, dtype: Any) -> None:
        """Assign another table; forward has saved the old one."""
        if self.kept is not None:
            return
        if dtype != self.bag.weight.dtype and self.grad is not None:
            self.settle_assigned()
        self.bag.weight = numbers(seed, *self.table.shape).astype(dtype)
        self.table = self.bag.weight.astype("f8")

    @rule(seed=seeds)
    def load_state(self, seed: int) -> None:
        """Load another table into the memory of this one."""
        if self.kept is not None and self.mode not in WEIGHTED_MODES:
            return
        new = numbers(seed, *self.table.shape).astype(self.bag.weight.dtype)
        self.bag.load_state_dict({"weight": new})
        self.table = new.astype("f8")
        if self.kept is not None:  # its gradient is that of the table as it is now
            self.kept = (self.table.copy(), *self.kept[1:])

    @rule(how=st.sampled_from(["shallow", "copy", "pickle", "optimizer", "state", "file"]))
    def replace(self, how: str) -> None:
        """Continue with copies of module and optimizer, or with the optimizer's state."""
        if how in ("state", "file"):
            state = self.optimizer.state_dict()
            self.optimizer = type(self.optimizer)(7.0, clip_value=3.0)
            self.optimizer.load_state_dict(through_file(state) if how == "file" else state)
            return
        if how == "optimizer":
            self.optimizer = copy.copy(self.optimizer)
            return
        old, both = self.bag, (self.bag, self.optimizer)
        if how == "shallow":
            self.bag = copy.copy(old)
        elif how == "copy":
            self.bag, self.optimizer = copy.deepcopy(both)
        else:
            self.bag, self.optimizer = pickle.loads(pickle.dumps(both))
        self.kept = None
        old.zero_grad()

    def refuse(self, error: type[Exception], action: Any) -> None:
        """Check that an action raises; the invariant checks that it changed nothing."""
        with pytest.raises(error):
            action()

    @rule(
        name=st.sampled_from(
            [
                *("input", "weights", "shape", "grad", "weight", "state", "threads"),
                *("optimizer", "table", "option", "attribute"),
            ]
        )
    )
    def misuse(self, name: str) -> None:
        """Do something that raises."""
        bag, (rows, dim) = self.bag, self.table.shape
        saved = bag._saved
        actions = {
            "input": lambda: bag([[rows if bag.invalid == "raise" else 0.5]]),
            "weights": lambda: bag([[0]], per_sample_weights=[[1.0, 2.0]]),
            "shape": lambda: bag(np.zeros((1, 1, 1), int)),
            "grad": lambda: bag.backward(np.ones((99, dim + 1))),
            "weight": lambda: setattr(bag, "weight", np.ones((rows, dim + 1))),
            "state": lambda: bag.load_state_dict({"weight": np.ones((rows + 1, dim))}),
            "threads": self.call_with_bad_threads,
            "optimizer": lambda: self.optimizer.update(bag.weight, np.ones((rows, dim))),
            "table": self.step_on_another_table,
            "option": lambda: setattr(self.optimizer, "weight_decay", -1),
            "attribute": lambda: setattr(self.optimizer, "clipnorm", 1.0),
        }
        errors = ValueError, IndexError, TypeError, RuntimeError, AttributeError
        self.refuse(errors, actions[name])  # type: ignore[arg-type]
        assert bag._saved is saved

    def step_on_another_table(self) -> None:
        """Take a step on a second table, with an optimizer that has one."""
        optimizer = self.optimizer
        if optimizer._bound is None:
            optimizer = ebagx.optim.SGD()
            optimizer.catch_up(self.bag.weight)
        optimizer.catch_up(self.bag.weight.copy())

    def call_with_bad_threads(self) -> None:
        """Call with an attribute that no call can use."""
        self.bag.num_threads = -5
        try:
            self.bag([[0]])
        finally:
            self.bag.num_threads = None

    @invariant()
    def agrees(self) -> None:
        """Compare the module with the model."""
        if not hasattr(self, "bag"):
            return
        np.testing.assert_allclose(self.bag.weight, self.table, **CLOSE)
        # The model takes over the rounding errors so far, which steps would multiply.
        self.table = self.bag.weight.astype("f8")
        grad = self.bag.grad
        assert (grad is None) == (self.grad is None)
        if grad is not None and self.grad is not None:
            dense = grad if isinstance(grad, np.ndarray) else grad.toarray()
            np.testing.assert_allclose(dense, self.grad, **CLOSE)
        of_weights = self.bag.per_sample_weights_grad
        assert (of_weights is None) == (self.weights_grad is None)
        if of_weights is not None and self.weights_grad is not None:
            np.testing.assert_allclose(of_weights.reshape(-1), self.weights_grad, **CLOSE)
