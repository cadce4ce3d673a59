from ebagx._kernels._baseline import (
    close_offsets as close_offsets,
    extreme as extreme,
    indices_valid as indices_valid,
    offsets_valid as offsets_valid,
    pool as pool,
    pool_codes as pool_codes,
    pool_many as pool_many,
    pool_plain as pool_plain,
    pool_plain_codes as pool_plain_codes,
    report_times as report_times,
    top_items as top_items,
    top_scores as top_scores,
    unpack_codes as unpack_codes,
)

__test__: dict[str, str]
