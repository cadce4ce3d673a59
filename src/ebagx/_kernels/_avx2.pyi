from ebagx._kernels._baseline import *  # noqa: F403  (it has the same kernels)

__test__: dict[str, str]
