from typing import Any

import numpy as np

__test__: dict[str, str]

def copy_bags(indices_k: np.ndarray[Any, np.dtype[np.int64]], bags: list[Any], /) -> bool: ...
def measure_bags(ends_b: np.ndarray[Any, np.dtype[np.int64]], bags: list[Any], /) -> int: ...
