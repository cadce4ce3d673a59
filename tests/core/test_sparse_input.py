"""Test that SciPy matrices made by hand are rejected if inconsistent, and never changed."""

import numpy as np
import pytest
import scipy.sparse

from ebagx import embedding_bag
from ebagx._core.forms.sparse import csr_parts

SHAPE = (4, 6)
DENSE = np.arange(24.0).reshape(SHAPE) % 5


def matrix(form):
    csr = scipy.sparse.csr_array(DENSE)
    return csr.tobsr((2, 3)) if form == "bsr" else csr.asformat(form)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo", "lil", "dok", "dia"])
def test_parts(form):
    indptr, indices, data = csr_parts(matrix(form), "input")
    csr = scipy.sparse.csr_array((data, indices, indptr), shape=SHAPE)
    csr.check_format(full_check=True)
    np.testing.assert_array_equal(csr.toarray(), DENSE)


@pytest.mark.parametrize("form", ["csc", "bsr"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "?"])
def test_dtypes(form, dtype):
    data = csr_parts(matrix(form).astype(dtype), "input")[2]
    assert data.dtype == (dtype if dtype == "f4" else "f8")


@pytest.mark.parametrize("form", ["csc", "bsr"])
def test_spare_room_stays(form):
    """SciPy's own check would remove it from the caller's matrix."""
    roomy = matrix(form)
    roomy.indices = np.append(roomy.indices, [99, -1])
    roomy.data = np.concatenate([roomy.data, roomy.data[:2]])
    before = dict(vars(roomy))
    pooled = embedding_bag(roomy, np.eye(6), mode="sum")
    np.testing.assert_array_equal(pooled, DENSE)
    assert all(vars(roomy)[name] is part for name, part in before.items())


def falling(_):
    """Return offsets that decrease, which differences of unsigned numbers do not show."""
    return np.array([0, 9, 3, 9, 9, 9, 19], "u4")


def other_blocks(part):
    """Return blocks of a width that does not divide the matrix."""
    return part[:, :, :2].repeat(2, 2)


def longer(_):
    return np.ones(99)


def broken(form, name, spoil):
    """Return a matrix after an attribute was replaced."""
    spoiled = matrix(form)
    part = getattr(spoiled, name)
    try:
        setattr(spoiled, name, spoil(part))
    except AttributeError:  # row and col of newer SciPy
        coords = [spoil(part) if of == name else getattr(spoiled, of) for of in ("row", "col")]
        spoiled.coords = tuple(coords)
    return spoiled


def setting(place, value):
    """Return a function that sets one element of a copy."""

    def spoil(part):
        part = part.copy()
        part[place] = value
        return part

    return spoil


BROKEN = [
    ("csc", "indices", setting(0, 10**6), ValueError, r"input.indices must be in \[0, 4\)"),
    ("csc", "indices", setting(0, -1), ValueError, r"input.indices must be in \[0, 4\)"),
    ("csc", "indptr", falling, ValueError, "input.indptr"),
    ("csc", "indptr", lambda part: part[:-1], ValueError, "input.indptr must have 7 entries"),
    ("csc", "indptr", setting(-1, 99), ValueError, r"input.indptr\[-1\] = 99 is beyond"),
    ("csc", "indptr", lambda part: part.astype(float), TypeError, "input.indptr must be integers"),
    ("csc", "data", lambda part: part[:3], ValueError, r"input.indptr\[-1\] = 19 is beyond"),
    ("csc", "data", lambda part: part[None], ValueError, "input.data cannot have shape"),
    ("csc", "data", lambda part: part.astype("U3"), TypeError, "input.data must be real"),
    ("bsr", "indices", setting(1, 2), ValueError, r"input.indices must be in \[0, 2\)"),
    ("bsr", "data", other_blocks, ValueError, "input of shape .* blocks"),
    ("bsr", "data", lambda part: part[:, :0], ValueError, "input.data cannot have shape"),
    ("coo", "row", setting(0, 4), ValueError, r"input.row must be in \[0, 4\)"),
    ("coo", "col", setting(0, -1), ValueError, r"input.col must be in \[0, 6\)"),
    ("coo", "col", lambda part: part[1:], ValueError, "input.row, input.col and input.data must"),
    ("coo", "data", longer, ValueError, "input.row, input.col and input.data must"),
    ("lil", "data", setting(1, [1.0] * 50), ValueError, "input.data must have lists as long"),
    ("lil", "data", setting(1, []), ValueError, "input.data must have lists as long"),
    ("lil", "rows", setting(1, None), ValueError, "input.rows must not mix"),
    ("lil", "rows", setting(1, [0.5] * 5), TypeError, "input.rows must be integers"),
    ("lil", "rows", setting(1, [6] * 5), IndexError, r"input.indices\[4\] = 6 is out of range"),
    ("dia", "offsets", lambda part: part[1:], ValueError, ""),
    ("csr", "indptr", lambda part: None, ValueError, "input.indptr must be 1-D, got 0-D"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "name", "spoil", "error", "message"), BROKEN)
def test_broken(form, name, spoil, error, message):
    """SciPy converts some of these with writes outside its arrays."""
    spoiled, table = broken(form, name, spoil), np.ones((6, 2))
    with pytest.raises(error, match=f"^{message}"):
        embedding_bag(spoiled, table, max_norm=0.5)
    np.testing.assert_array_equal(table, np.ones((6, 2)))


@pytest.mark.parametrize("key", [(4, 0), (0, 6), (-1, 0), (2**40, 0)])
def test_broken_keys(key):
    spoiled = matrix("dok")
    spoiled._dict[key] = 1.0
    with pytest.raises(ValueError, match=r"^input\.(row|col) must be in"):
        embedding_bag(spoiled, np.ones((6, 2)))
