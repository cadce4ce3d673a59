from ebagx._kernels._baseline import _Kernels

__test__: dict[str, str]

add_rows: _Kernels
clear_rows: _Kernels
extreme: _Kernels
indices_valid: _Kernels
offsets_valid: _Kernels
pool: _Kernels
renorm: _Kernels
row_squares: _Kernels
scatter: _Kernels
step_rows: _Kernels
weights_gradient: _Kernels
