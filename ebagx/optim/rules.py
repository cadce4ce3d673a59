"""The rules of optimizers: one row for each, which everything else reads."""

from typing import NamedTuple


class Rule(NamedTuple):
    """What a step does to a row.

    `code` is the number by which kernels know the rule (``update/step.pxi``); `states` are what it
    keeps for a table, with PyTorch's names where it has them; `per_row` says whether a state has
    one number for each row instead of one for each number of the table.
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


class StepConstants(NamedTuple):
    """The numbers of a step, in the order in which the kernel takes them."""

    rate: float
    decay: float = 0.0
    first: float = 0.0
    second: float = 0.0
    eps: float = 0.0
