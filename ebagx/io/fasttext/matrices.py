"""The tables of a model."""

import numpy as np
import numpy.typing as npt

from ebagx.io.fasttext.content import Content, DamagedError
from ebagx.text.fasttext.matrix import CODES, NO_CODES, NO_FLOATS, Matrix


def read_matrix(content: Content, shape: tuple[int, int], is_quantised: bool, name: str) -> Matrix:
    """Read a table whose shape follows from what has been read before.

    Raises
    ------
    DamagedError
        If the file ends before, or if the shape or that of a product quantiser is another one.
    """
    return _read_codes(content, shape, name) if is_quantised else _read_dense(content, shape, name)


def _read_dense(content: Content, shape: tuple[int, int], name: str) -> Matrix:
    _check_shape(content, shape, name)
    return Matrix(*shape, content.array(shape, np.float32, name, may_map=True))


def _read_codes(content: Content, shape: tuple[int, int], name: str) -> Matrix:
    has_norms = content.flag(f"the sign of norms in {name}")
    _check_shape(content, shape, name)
    num_rows, dim = shape
    n_codes = content.integer(f"the number of codes in {name}", np.int32)
    if not num_rows or n_codes < 0 or n_codes % num_rows or not 1 <= n_codes // num_rows <= dim:
        raise DamagedError(f"{name} has {n_codes:,} codes for {num_rows:,} rows of {dim}")
    n_parts = n_codes // num_rows
    codes = content.mapped(n_codes, f"the codes of {name}").reshape(num_rows, n_parts)
    centroids, step = _read_quantiser(content, dim, n_parts, name)
    norm_codes, norms = NO_CODES, NO_FLOATS
    if has_norms:
        norm_codes = content.mapped(num_rows, f"the norms of {name}")
        norms, _ = _read_quantiser(content, 1, 1, f"the norms of {name}")
    empty = np.empty((0, dim), np.float32)
    return Matrix(num_rows, dim, empty, codes, centroids, norm_codes, norms, step)


def _check_shape(content: Content, shape: tuple[int, int], name: str) -> None:
    found = content.integer(f"the rows of {name}"), content.integer(f"the columns of {name}")
    if found != shape:
        raise DamagedError(
            f"{name} has {found[0]:,} x {found[1]:,} entries; {shape[0]:,} x {shape[1]:,} fit the "
            "words and options"
        )


def _read_quantiser(
    content: Content, dim: int, n_parts: int, name: str
) -> tuple[npt.NDArray[np.float32], int]:
    """Return the centroids of a product quantiser, and the columns of a part."""
    found = content.integers(4, f"the quantiser of {name}")
    step = found[2]
    is_fit = 1 <= step <= dim and found[:2] == [dim, -(-dim // step)]
    if not is_fit or found[1] != n_parts or found[3] != (dim % step or step):
        raise DamagedError(f"the quantiser of {name} does not fit its codes")
    centroids = content.array((CODES * dim,), np.float32, f"the quantiser of {name}")
    _check_finite(centroids, name)
    return centroids, step


def _check_finite(values: npt.NDArray[np.float32], name: str) -> None:
    if not np.isfinite(values).all():
        raise DamagedError(f"{name} holds nan or infinity")
