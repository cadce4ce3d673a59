"""Compute the gradients of lookups in many tables: one for each table and each weight."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ebagx._core.arguments import check_same_names, raise_about
from ebagx._core.backward import Backward, weights_gradient
from ebagx._core.bags import Bags
from ebagx._core.checks import check_grad_output
from ebagx._core.forms.source import INT32_MAX
from ebagx._core.layout import copy_if_overlapping
from ebagx._core.many import Lookup
from ebagx._core.memory import check_mapped


class SavedLookup(NamedTuple):
    """The state of a forward call that backward needs, for one feature."""

    lookup: Lookup
    table_name: str
    winners: np.ndarray | None

    @property
    def feature(self) -> str:
        """The name of the feature."""
        return self.lookup.feature


def split_gradient(
    grad_output: Any, saved: Sequence[SavedLookup], columns: Mapping[str, slice]
) -> list[np.ndarray]:
    """Return the gradient (B, D) of each saved feature, in the dtype of its sums.

    `grad_output` is an array for all features, which have these columns of it, or a mapping of
    arrays by feature, where those that are not saved may be missing.
    """
    num_bags = saved[0].lookup.bags.num_bags
    if hasattr(grad_output, "keys"):
        optional = columns.keys() - {state.feature for state in saved}
        check_same_names(grad_output, columns, "grad_output", optional)
        parts = [grad_output[state.feature] for state in saved]
    else:
        whole = np.asarray(grad_output)
        shape = num_bags, max((part.stop for part in columns.values()), default=0)
        if whole.shape != shape:
            raise ValueError(f"grad_output must have shape {shape}, got {whole.shape}")
        parts = [whole[:, columns[state.feature]] for state in saved]
    grads = []
    for part, state in zip(parts, saved, strict=True):
        table = state.lookup.table
        try:
            grads.append(check_grad_output(part, (num_bags, table.dim), table.sum_dtype))
        except (TypeError, ValueError) as error:
            raise_about(error, f"feature {state.feature!r}")
    return grads


def without_overlap(grads: Sequence[np.ndarray], written: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Return the gradients, copied where they may share memory with an array that is written."""
    # Most gradients are columns of one array, which is compared once with each table.
    owners = {id(owner): owner for owner in map(_owner, grads)}.values()
    apart = list(grads)
    for array in written:
        if any(np.may_share_memory(owner, array) for owner in owners):
            apart = [copy_if_overlapping(grad, array) for grad in apart]
    return apart


def _owner(array: np.ndarray) -> np.ndarray:
    return array.base if isinstance(array.base, np.ndarray) else array


def gradients(
    saved: Sequence[SavedLookup], grads: Sequence[np.ndarray]
) -> tuple[dict[str, Backward], dict[str, np.ndarray]]:
    """Return the inputs of the gradient of each table, and the gradient of weights by feature."""
    by_table: dict[str, list[Backward]] = {}
    of_weights = {}
    for (lookup, table_name, winners), grad in zip(saved, grads, strict=True):
        bags, table, shape = lookup.bags, lookup.table, lookup.weights_shape
        table.check_mapped()
        for array, name in zip(bags, Bags._fields, strict=True):
            check_mapped(array, name)
        backward = Backward(grad, bags, table, winners, lookup.options)
        by_table.setdefault(table_name, []).append(backward)
        if shape is not None:
            of_weights[lookup.feature] = weights_gradient(backward).reshape(shape)
    return {name: joined(parts) for name, parts in by_table.items()}, of_weights


def joined(parts: Sequence[Backward]) -> Backward:
    """Return the inputs of a table's gradient for the bags of its features as one batch."""
    first = parts[0]
    if len(parts) == 1:
        return first
    bags = _joined_bags([part.bags for part in parts])
    winners = None
    if first.winners is not None:
        rows = [part.winners for part in parts if part.winners is not None]
        winners = np.concatenate(rows).astype(bags.indices.dtype, copy=False)
    grad = np.concatenate([part.grad for part in parts])
    return first._replace(grad=grad, bags=bags, winners=winners)


def _joined_bags(bags: Sequence[Bags]) -> Bags:
    indices = np.concatenate([part.indices for part in bags])
    weights = np.concatenate([part.weights for part in bags])
    if 0 < len(weights) < len(indices):  # some have weights; those of the others are 1
        ones = np.ones(len(indices), weights.dtype)
        given = [(part.weights, len(part.indices)) for part in bags]
        weights = np.concatenate([own if len(own) else ones[:count] for own, count in given])
    offsets = np.zeros(sum(part.num_bags for part in bags) + 1, np.int64)
    np.cumsum(np.concatenate([np.diff(part.offsets) for part in bags]), out=offsets[1:])
    if len(indices) + len(offsets) > INT32_MAX:  # `default_row` may add a lookup to each bag
        indices = indices.astype(np.int64, copy=False)
    return Bags(indices, offsets.astype(indices.dtype, copy=False), weights)
