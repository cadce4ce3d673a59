"""The kernels of a level. Dtypes: see ``arrays.pxi``, axis letters: ``__init__.py``."""

from array import array
from typing import Any

import numpy as np

_Array = np.ndarray[Any, np.dtype[Any]]

__test__: dict[str, str]

def add_rows(table_rd: _Array, rows_u: _Array, values_ud: _Array, num_threads: int, /) -> None: ...
def clear_rows(table_rd: _Array, rows_k: _Array, num_threads: int, /) -> None: ...
def close_offsets(ends_b: _Array, starts_b: _Array, num_lookups: int, /) -> bool: ...
def combine_rows(
    out: tuple[_Array, _Array, _Array],
    old: tuple[_Array, _Array, _Array],
    pieces_k: tuple[tuple[_Array, _Array, tuple[_Array, _Array, _Array], float], ...],
    rules: tuple[int, int, int],
    few: float,
    num_threads: int,
    /,
) -> None: ...
def draw_classes(
    outputs: tuple[_Array, _Array],
    alias: tuple[_Array, _Array],
    positives: tuple[_Array, _Array, _Array],
    num_classes: int,
    seed: int,
    first_row: int,
    most_draws: int,
    num_threads: int,
    /,
) -> None: ...
def extreme(
    out_bd: _Array,
    winners_bd: _Array,
    table_rd: _Array,
    indices_k: _Array,
    offsets_b: _Array,
    direction: int,
    num_threads: int,
    /,
) -> None: ...
def extreme_gradient(
    out_ud: _Array,
    grad_bd: _Array,
    winners_bd: _Array,
    rows_u: _Array,
    bags_k: _Array,
    row_offsets_u: _Array,
    scales_k: _Array,
    num_threads: int,
    /,
) -> None: ...
def count_lookups(
    rows_u: _Array,
    row_offsets_u: _Array,
    payloads_k: _Array,
    counts: _Array,
    indices_k: _Array,
    offsets_b: _Array,
    num_threads: int,
    /,
) -> int: ...
def group_rows(
    rows_u: _Array, row_offsets_u: _Array, payloads_k: _Array, keys_k: _Array, payload_bits: int, /
) -> int: ...
def make_alias(
    thresholds_k: _Array, others_k: _Array, stack_k: _Array, shares_k: _Array, /
) -> None: ...
def indices_valid(indices_k: _Array, num_rows: int, num_threads: int, /) -> bool: ...
def offsets_valid(offsets_b: _Array, num_lookups: int, /) -> bool: ...
def pool(
    out_bd: _Array,
    table_rd: _Array,
    indices_k: _Array,
    offsets_b: _Array,
    weights_k: _Array,
    mode: int,
    num_threads: int,
    /,
) -> bool: ...
def pool_plain(
    out_bd: _Array | memoryview,
    ends_b: _Array | None,
    table_rd: _Array | memoryview,
    indices: _Array | memoryview,
    offsets_b: _Array | memoryview | None,
    weights: _Array | memoryview | None,
    mode: int,
    is_closed: bool,
    num_threads: int,
    /,
) -> bool: ...
def pool_codes(
    out_bd: _Array,
    codes_rb: _Array,
    indices_k: _Array,
    offsets_b: _Array,
    weights_k: _Array,
    bits: int,
    codes_at: int,
    constants_at: int,
    is_half: bool,
    is_exact: bool,
    mode: int,
    num_threads: int,
    /,
) -> bool: ...
def pool_plain_codes(
    out_bd: _Array,
    ends_b: _Array | None,
    codes_rb: _Array,
    indices: _Array,
    offsets_b: _Array | None,
    weights: _Array | None,
    bits: int,
    codes_at: int,
    constants_at: int,
    is_half: bool,
    is_exact: bool,
    mode: int,
    is_closed: bool,
    num_threads: int,
    /,
) -> bool: ...
def pool_many(
    jobs_j: tuple[tuple[tuple[_Array, _Array, _Array, _Array, _Array], int], ...],
    num_threads: int,
    /,
) -> bool: ...
def renorm(
    table_rd: _Array, rows_u: _Array, max_norm: float, norm_type: float, num_threads: int, /
) -> None: ...
def report_times(times: array[int] | None, /) -> None: ...
def row_squares(out_u: _Array, grad_ud: _Array, /) -> None: ...
def scatter(
    table_rd: _Array,
    grad_bd: _Array,
    indices_k: _Array,
    offsets_b: _Array,
    weights_k: _Array,
    mode: int,
    num_threads: int,
    /,
) -> None: ...
def select_lookups(
    kept_indices_k: _Array,
    kept_offsets_b: _Array,
    kept_weights_k: _Array,
    indices_k: _Array,
    offsets_b: _Array,
    weights_k: _Array,
    num_rows: int,
    padding_row: int,
    default_row: int,
    /,
) -> bool: ...
def sort_lookups(
    keys_k: _Array,
    scratch_k: _Array,
    counts: _Array,
    indices_k: _Array,
    offsets_b: _Array,
    num_rows: int,
    payload_bits: int,
    num_threads: int,
    /,
) -> None: ...
def step_rows(
    table_rd: _Array,
    first_rd: _Array,
    second_rd: _Array,
    scales_u: _Array,
    rows_u: _Array,
    grad_ud: _Array,
    numbers: _Array,
    rule: int,
    num_threads: int,
    /,
) -> None: ...
def train_batches(
    buffers: tuple[_Array, ...],
    bags: tuple[_Array, ...],
    targets: tuple[_Array, ...],
    block: tuple[_Array, ...],
    plan: tuple[_Array, ...],
    negatives: tuple[_Array, ...],
    chosen: tuple[_Array, ...],
    layers: tuple[tuple[tuple[_Array, ...], tuple[_Array, ...]], ...],
    table: tuple[_Array, ...],
    batch_size: int,
    norm: int,
    loss: int,
    epsilon: float,
    groups: int,
    factors: int,
    num_threads: int,
    /,
) -> bool: ...
def top_items(
    lists: tuple[_Array, _Array],
    excluded: tuple[_Array, _Array, _Array],
    panels: _Array,
    users_md: _Array,
    items: tuple[_Array, _Array],
    num_threads: int,
    /,
) -> None: ...
def top_scores(
    lists: tuple[_Array, _Array],
    excluded: tuple[_Array, _Array, _Array],
    scores_mi: _Array,
    num_threads: int,
    /,
) -> None: ...
def train_pairs(
    buffers: tuple[_Array, ...],
    taken: _Array,
    positives: tuple[_Array, ...],
    user_bags: tuple[_Array, ...],
    item_bags: tuple[_Array, ...],
    items: tuple[_Array, ...],
    sampling: tuple[_Array, ...],
    user_lookups: tuple[_Array, ...],
    user_parts: tuple[_Array, ...],
    item_lookups: tuple[_Array, ...],
    item_parts: tuple[_Array, ...],
    user_table: tuple[_Array, ...],
    item_table: tuple[_Array, ...],
    batch_size: int,
    norm: int,
    loss: int,
    seed: int,
    first_number: int,
    first_batch: int,
    batches_per_refresh: int,
    most_nanoseconds: int,
    num_threads: int,
    /,
) -> bool: ...
def transpose_few(
    rows_u: _Array,
    row_offsets_u: _Array,
    bags_k: _Array,
    scales_k: _Array,
    indices_k: _Array,
    offsets_b: _Array,
    weights_k: _Array,
    num_rows: int,
    mode: int,
    /,
) -> int: ...
def transpose_lookups(
    bags_k: _Array,
    scales_k: _Array,
    scratch_bags_k: _Array,
    scratch_scales_k: _Array,
    order_k: _Array,
    offsets_b: _Array,
    weights_k: _Array,
    mode: int,
    num_threads: int,
    /,
) -> None: ...
def unpack_codes(
    out_kd: _Array,
    codes_rb: _Array,
    indices_k: _Array,
    bits: int,
    codes_at: int,
    constants_at: int,
    is_half: bool,
    is_exact: bool,
    num_threads: int,
    /,
) -> None: ...
def weights_gradient(
    out_k: _Array,
    grad_bd: _Array,
    table_rd: _Array,
    indices_k: _Array,
    offsets_b: _Array,
    weights_k: _Array,
    mode: int,
    num_threads: int,
    /,
) -> None: ...
