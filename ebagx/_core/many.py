"""Pool bags of many tables in one call of a kernel."""

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple, Self

import numpy as np

from ebagx._core import passes
from ebagx._core.bags import Bags, bags_for, bags_of, check_indices, without_padding
from ebagx._core.checks import raise_about
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
        # Messages begin with `input` or, for a matrix, with `input.indices`.
        name = self.source.name.replace("input", f"input[{self.feature!r}]", 1)
        source = self.source._replace(name=name)
        check_indices(self.bags, source, self.table.num_rows, self.options.num_threads)

    def check_writeable(self, why: str) -> None:
        """Raise ValueError if the table cannot be changed in place."""
        try:
            self.table.check_writeable(why)
        except ValueError as error:
            raise_about(error, f"feature {self.feature!r}")

    def work(self) -> int:
        """Return the number of element additions."""
        return len(self.bags.indices) * self.table.dim

    def fits_one_call(self) -> bool:
        """Return whether the kernel for many tables can pool these bags and check the indices."""
        table = self.table
        return (
            not self.options.mode.is_extreme
            and 0 not in table.shape
            and table.has_contiguous_rows
            and is_one_piece(self.work())
        )


def forward_many(lookups: Sequence[Lookup], outs: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """Check all indices, then pool each feature's bags (B, D) to its output.

    Return, for each feature, the row (B, D) of each result in max and min, or None. Outputs have
    contiguous rows. Nothing but them has been changed when an IndexError or ValueError is raised;
    with `max_norm`, tables are changed feature by feature.
    """
    if any(lookup.options.max_norm is not None for lookup in lookups):
        return _renorm_and_pool(lookups, outs)
    fits = [lookup.fits_one_call() for lookup in lookups]
    for lookup, in_one_call in zip(lookups, fits, strict=True):
        if not in_one_call:
            lookup.check_indices()
    if not _pool_together(list(compress(lookups, fits)), list(compress(outs, fits))):
        for lookup in lookups:
            lookup.check_indices()
    return [
        None if in_one_call else _pool_alone(lookup, out)
        for lookup, out, in_one_call in zip(lookups, outs, fits, strict=True)
    ]


def _renorm_and_pool(
    lookups: Sequence[Lookup], outs: Sequence[np.ndarray]
) -> list[np.ndarray | None]:
    """Do as `forward_many`, one feature after the other: each may change the next one's table."""
    for lookup in lookups:
        lookup.check_indices()
        if lookup.options.max_norm is not None:
            lookup.check_writeable("max_norm")
    winners = []
    for lookup, out in zip(lookups, outs, strict=True):
        options = lookup.options
        if options.max_norm is not None:
            how = options.max_norm, options.norm_type, options.num_threads
            passes.renorm(lookup.bags, lookup.table, *how)
        winners.append(_pool_alone(lookup, out))
    return winners


def _pool_alone(lookup: Lookup, out: np.ndarray) -> np.ndarray | None:
    bags, table, options = lookup.bags, lookup.table, lookup.options
    kept = without_padding(bags, options.padding_idx)
    return passes.forward(kept, table, options.mode, out, options.num_threads)[1]


def _pool_together(lookups: Sequence[Lookup], outs: Sequence[np.ndarray]) -> bool:
    """Pool features in one call, or one for each piece; return whether indices were valid."""
    # A call has the threads that each of its tables may have.
    limits = [lookup.options.num_threads for lookup in lookups]
    num_threads = min((limit for limit in limits if limit is not None), default=None)
    valid, work = True, 0
    jobs: list[tuple[JobArrays, int]] = []
    for lookup, out in zip(lookups, outs, strict=True):
        if not is_one_piece(work + lookup.work()):
            valid &= kernels.pool_many(tuple(jobs), thread_count(num_threads, work))
            jobs, work = [], 0
        bags, table, options = lookup.bags, lookup.table, lookup.options
        kept = without_padding(bags, options.padding_idx)
        arrays = kernel_view(out), table.kernel_rows(), *kept
        jobs.append((arrays, options.mode.divisor))
        work += lookup.work()
    return valid & kernels.pool_many(tuple(jobs), thread_count(num_threads, work))
