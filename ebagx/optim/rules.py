"""The rules of optimizers have one row each here, which all other code reads."""

from typing import NamedTuple


class Rule(NamedTuple):
    """A rule by which a step changes a row.

    `code` is its number in the kernels (``update/step.pxi``). `states` are the names of the arrays
    that it keeps for a table, PyTorch's where it has them. With `per_row`, a state has one number
    for each row instead of one for each number of the table.
    """

    name: str
    code: int
    states: tuple[str, ...] = ()
    per_row: bool = False

    def state_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the shape that a state has for a table of this shape."""
        return (shape[0], 1) if self.per_row else shape


RULES = {
    rule.name: rule
    for rule in (
        Rule("sgd", 0),
        Rule("momentum", 1, ("momentum_buffer",)),
        Rule("nesterov", 2, ("momentum_buffer",)),
        Rule("adagrad", 3, ("squares",)),
        Rule("rowwise_adagrad", 4, ("squares",), per_row=True),
        Rule("adam", 5, ("exp_avg", "exp_avg_sq")),
    )
}

# States of rules that are sums or means of squares.
SQUARES = frozenset({"squares", "exp_avg_sq"})


def states_of(*names: str) -> tuple[str, ...]:
    """Return the names of the states that some rules have, each once."""
    return tuple(dict.fromkeys(state for name in names for state in RULES[name].states))


class StepConstants(NamedTuple):
    """The numbers of a step, in the order in which the kernel takes them."""

    rate: float
    decay: float = 0.0
    first: float = 0.0
    second: float = 0.0
    eps: float = 0.0
