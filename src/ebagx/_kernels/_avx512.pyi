from ebagx._kernels._baseline import _Kernels

__test__: dict[str, str]

extreme: _Kernels
indices_valid: _Kernels
offsets_valid: _Kernels
pool: _Kernels
