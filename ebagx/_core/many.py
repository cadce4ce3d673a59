"""Pool bags of many tables in one call of a kernel."""

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple, Self

import numpy as np

from ebagx._core import passes
from ebagx._core.arguments import RAISE, raise_about
from ebagx._core.bags import (
    Bags,
    bags_for,
    bags_of,
    check_indices,
    raise_bad_source,
    select_lookups,
)
from ebagx._core.dtypes import kernel_view
from ebagx._core.forms.feature import FeatureArguments
from ebagx._core.forms.source import Source
from ebagx._core.levels import kernels
from ebagx._core.options import Options
from ebagx._core.pieces import is_one_piece
from ebagx._core.table import Table
from ebagx._core.threads import thread_count

JobArrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Lookup(NamedTuple):
    """The bags of one feature, and the table that they are looked up in."""

    feature: str
    bags: Bags
    source: Source
    table: Table
    options: Options
    weights_shape: tuple[int, ...] | None  # of per_sample_weights, if they were given

    @classmethod
    def of(cls, feature: str, given: FeatureArguments, table: Table, options: Options) -> Self:
        """Return the bags of a feature; everything is checked except the range of indices."""
        table.check_mapped()
        ids, offsets, weights, is_closed = given
        if is_closed and weights is None:
            source = Source("input", ids, offsets, None)
            return cls(feature, bags_of(source, table, options), source, table, options, None)
        if is_closed:
            options = options._replace(include_last_offset=True)
        bags, source = bags_for(ids, offsets, weights, table, options)
        shape = None
        if weights is not None and source.weights is not None:
            shape = source.weights.shape
        return cls(feature, bags, source, table, options, shape)

    def check_indices(self) -> None:
        """Raise IndexError unless every index is inside the table."""
        num_rows, num_threads = self.table.num_rows, self.options.num_threads
        check_indices(self.bags, self.named_source(), num_rows, num_threads)

    def named_source(self) -> Source:
        """Return the source with a name for error messages that names the feature."""
        # The name is `input` or, for a matrix, `input.indices`.
        name = self.source.name.replace("input", f"input[{self.feature!r}]", 1)
        return self.source._replace(name=name)

    def check_writeable(self, why: str) -> None:
        """Raise ValueError if the table cannot be changed in place."""
        try:
            self.table.check_writeable(why)
        except (TypeError, ValueError) as error:
            raise_about(error, f"feature {self.feature!r}")

    def kept(self) -> Bags:
        """Return the bags of the lookups that count, once indices that may not be left out are not.

        Without options that select lookups, these are all, and their indices are not checked.
        """
        bags, table, options = self.bags, self.table, self.options
        if not options.selects:
            return bags
        kept, inside = select_lookups(
            bags, table.num_rows, options.padding_idx, options.default_row
        )
        if not inside and options.invalid == RAISE:
            raise_bad_source(self.named_source(), table.num_rows)
        return kept

    def fits_one_call(self, kept: Bags) -> bool:
        """Return whether the kernel for many tables can pool bags and check their indices."""
        table = self.table
        return (
            not self.options.mode.is_extreme
            and 0 not in table.shape
            and table.has_contiguous_rows
            and table.map_advice is None
            and is_one_piece(_work(kept, table))
        )


def forward_many(lookups: Sequence[Lookup], outs: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """Check all indices, then pool each feature's bags (B, D) to its output.

    Return, for each feature, the row (B, D) of each result in max and min, or None. Outputs have
    contiguous rows. Nothing but them has been changed when an IndexError or ValueError is raised;
    with `max_norm`, tables are changed feature by feature.
    """
    kept = [lookup.kept() for lookup in lookups]
    if any(lookup.options.max_norm is not None for lookup in lookups):
        return _renorm_and_pool(lookups, kept, outs)
    fits = [lookup.fits_one_call(bags) for lookup, bags in zip(lookups, kept, strict=True)]
    for lookup, in_one_call in zip(lookups, fits, strict=True):
        if not in_one_call and not lookup.options.selects:
            lookup.check_indices()
    together = list(compress(lookups, fits)), list(compress(kept, fits)), list(compress(outs, fits))
    if not _pool_together(*together):
        for lookup in lookups:
            if not lookup.options.selects:
                lookup.check_indices()
    return [
        None if in_one_call else _pool_alone(lookup, bags, out)
        for lookup, bags, out, in_one_call in zip(lookups, kept, outs, fits, strict=True)
    ]


def _renorm_and_pool(
    lookups: Sequence[Lookup], kept: Sequence[Bags], outs: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """Do as `forward_many`, one feature after the other: each may change the next one's table."""
    for lookup in lookups:
        if not lookup.options.selects:
            lookup.check_indices()
        if lookup.options.max_norm is not None:
            lookup.check_writeable("max_norm")
    winners = []
    for lookup, bags, out in zip(lookups, kept, outs, strict=True):
        if lookup.options.max_norm is not None:
            passes.renorm(bags, lookup.bags, lookup.table, lookup.options)
        winners.append(_pool_alone(lookup, bags, out))
    return winners


def _pool_alone(lookup: Lookup, kept: Bags, out: np.ndarray) -> np.ndarray | None:
    options = lookup.options
    return passes.forward(kept, lookup.table, options.mode, out, options.num_threads)[1]


def _pool_together(
    lookups: Sequence[Lookup], kept: Sequence[Bags], outs: Sequence[np.ndarray]
) -> bool:
    """Pool features in one call, or one for each piece; return whether indices were valid."""
    # A call has the threads that each of its tables may have.
    limits = [lookup.options.num_threads for lookup in lookups]
    num_threads = min((limit for limit in limits if limit is not None), default=None)
    valid, work = True, 0
    jobs: list[tuple[JobArrays, int]] = []
    for lookup, bags, out in zip(lookups, kept, outs, strict=True):
        table = lookup.table
        added = _work(bags, table)
        if not is_one_piece(work + added):
            valid &= kernels.pool_many(tuple(jobs), thread_count(num_threads, work))
            jobs, work = [], 0
        arrays = kernel_view(out), table.kernel_rows(), *bags
        jobs.append((arrays, lookup.options.mode.divisor))
        work += added
    return valid & kernels.pool_many(tuple(jobs), thread_count(num_threads, work))


def _work(bags: Bags, table: Table) -> int:
    """Return the number of element additions."""
    return len(bags.indices) * table.dim
