"""`Matrix`: a table of a fastText model, plain or product-quantised."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebagx._core.memory import check_mapped

_Floats = npt.NDArray[np.float32]
_Codes = npt.NDArray[np.uint8]

CODES = 256
_CHECKED_AT_ONCE = 1 << 20
NO_FLOATS = np.empty(0, np.float32)
NO_CODES = np.empty(0, np.uint8)


class Matrix(NamedTuple):
    """N rows of D columns, of float32 or of codes.

    A row of M codes is M parts of `step` columns, the last of which may be shorter. Code c of part
    m stands for its c-th centroid; all columns are multiplied by the row's norm, if there are any.

    Attributes
    ----------
    num_rows, dim : int
        N and D.
    dense : ndarray of float32, shape (N, D) or (0, D)
        The rows, or none if they are codes. They may be in a memory map.
    codes : ndarray of uint8, shape (N, M) or (0, M)
        The codes of each row. They may be in a memory map.
    centroids : ndarray of float32, shape (256 * D,)
        Those of each part, (256, step), one part after the other.
    norm_codes : ndarray of uint8, shape (N,) or (0,)
        The code of each row's norm.
    norms : ndarray of float32, shape (256,) or (0,)
        The norms.
    step : int
        Columns of a part.
    """

    num_rows: int
    dim: int
    dense: _Floats
    codes: _Codes = NO_CODES.reshape(0, 1)
    centroids: _Floats = NO_FLOATS
    norm_codes: _Codes = NO_CODES
    norms: _Floats = NO_FLOATS
    step: int = 1

    def __repr__(self) -> str:
        kind = f"codes of {self.step} columns" if self.is_quantised else "float32"
        return f"Matrix({self.num_rows} rows, dim={self.dim}, {kind})"

    @property
    def is_quantised(self) -> bool:
        """Return whether rows are codes."""
        return len(self.codes) > 0

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self[2:7])

    @property
    def arrays(self) -> tuple[npt.NDArray[Any] | int, ...]:
        """The fields that compiled code takes, if no file has become shorter."""
        check_mapped(self.dense, "the table of the model")
        check_mapped(self.codes, "the table of the model")
        return self[2:]

    def check_finite(self, name: str) -> None:
        """Raise ValueError if a row of float32 holds nan or infinity. Cost: a read of the table."""
        flat = self.dense.reshape(-1)
        for start in range(0, len(flat), _CHECKED_AT_ONCE):
            if not np.isfinite(flat[start : start + _CHECKED_AT_ONCE]).all():
                raise ValueError(f"{name} holds nan or infinity")

    def rows(self, numbers: npt.NDArray[np.integer[Any]] | slice) -> _Floats:
        """Return some rows as float32, (n, D). Cost: a look-up per row and part."""
        if not self.is_quantised:
            return self.dense[numbers]
        codes = self.codes[numbers]
        out = np.empty((len(codes), self.dim), np.float32)
        for part, first in enumerate(range(0, self.dim, self.step)):
            stop = min(first + self.step, self.dim)
            centroids = self.centroids[CODES * first : CODES * stop].reshape(CODES, -1)
            out[:, first:stop] = centroids[codes[:, part]]
        if len(self.norms):
            out *= self.norms[self.norm_codes[numbers]][:, None]
        return out
