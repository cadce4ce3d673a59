from ebagx._kernels._baseline import (
    add_rows as add_rows,
    clear_rows as clear_rows,
    close_offsets as close_offsets,
    extreme as extreme,
    indices_valid as indices_valid,
    offsets_valid as offsets_valid,
    pool as pool,
    pool_codes as pool_codes,
    pool_many as pool_many,
    pool_plain as pool_plain,
    renorm as renorm,
    report_times as report_times,
    row_squares as row_squares,
    scatter as scatter,
    step_rows as step_rows,
    train_batches as train_batches,
    train_pairs as train_pairs,
    unpack_codes as unpack_codes,
    weights_gradient as weights_gradient,
)

__test__: dict[str, str]
