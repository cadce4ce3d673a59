"""Show the version, the levels and the threads of this build on this machine."""

import platform
import sys

import numpy as np
import scipy

from ebagx._core import cpu, levels, threads

__version__ = "0.1.0"


def show_config() -> None:
    """Print version, instruction-set level, OpenMP and threads, as a bug report needs them.

    Examples
    --------
    >>> import ebagx
    >>> ebagx.show_config()  # doctest: +ELLIPSIS
    ebagx ...
    """
    date = cpu.openmp_version()
    openmp = f"{date // 100}-{date % 100:02d}" if date else "no (one thread)"
    lines = {
        "ebagx": __version__,
        "level": f"{levels.LEVEL} (available: {', '.join(levels.available_levels())})",
        "OpenMP": openmp,
        "threads": str(threads.default_threads()),
        "Python": f"{platform.python_version()} on {sys.platform} {platform.machine()}",
        "NumPy": np.__version__,
        "SciPy": scipy.__version__,
    }
    for name, value in lines.items():
        print(f"{name:<8}{value}")
