"""The kernels of a level, each for several C types: ``pool["float", "int64_t", "float"]``."""

from collections.abc import Callable
from typing import Any, Protocol

class _Kernels(Protocol):
    def __getitem__(self, c_types: tuple[str, ...], /) -> Callable[..., Any]: ...

__test__: dict[str, str]

add_rows: _Kernels
clear_rows: _Kernels
drop_padding: _Kernels
extreme: _Kernels
extreme_gradient: _Kernels
group_rows: _Kernels
indices_valid: _Kernels
number_rows: _Kernels
offsets_valid: _Kernels
pool: _Kernels
renorm: _Kernels
row_squares: _Kernels
scatter: _Kernels
sort_lookups: _Kernels
step_rows: _Kernels
transpose_lookups: _Kernels
weights_gradient: _Kernels
