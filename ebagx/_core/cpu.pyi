from typing import Any

import numpy as np

__test__: dict[str, str]

def has_avx2() -> bool: ...
def has_avx512() -> bool: ...
def openmp_version() -> int: ...
def max_threads() -> int: ...
def misalignment(memory: np.ndarray, alignment: int, /) -> int: ...
def read_ahead(
    address: int,
    num_rows: int,
    row_bytes: int,
    stretches: int,
    apart: int,
    length: int,
    rows: np.ndarray,
    in_memory: bool,
    /,
) -> bool: ...
def tensor_memories(
    tensors: tuple[Any, ...], types: tuple[type, ...], exchange: Any, /
) -> list[memoryview | None] | None: ...
