import numpy as np
import numpy.typing as npt

__test__: dict[str, str]

LEAST_POWER: int
LARGEST_POWER: int

def parse_rows(
    rows_ld: npt.NDArray[np.float32],
    words_l2: npt.NDArray[np.intp],
    faults_l: npt.NDArray[np.uint8],
    spans_l2: npt.NDArray[np.intp],
    text: bytes,
    powers_e2: npt.NDArray[np.uint64],
    num_threads: int,
    /,
) -> None: ...
def split_binary(
    rows_ld: npt.NDArray[np.float32], words_l2: npt.NDArray[np.intp], text: bytes, /
) -> int: ...
