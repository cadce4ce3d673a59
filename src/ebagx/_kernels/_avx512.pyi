from ebagx._kernels._baseline import (
    extreme as extreme,
    indices_valid as indices_valid,
    offsets_valid as offsets_valid,
    pool as pool,
)

__test__: dict[str, str]
