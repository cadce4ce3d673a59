from ebagx._kernels._baseline import *  # noqa: F403  (a level has the kernels of every other)

__test__: dict[str, str]
