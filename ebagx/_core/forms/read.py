"""Read an argument of any form, except a SciPy matrix, as numbers side by side."""

from typing import Any

from ebagx._core.forms.arrow import is_arrow, read_arrow
from ebagx._core.forms.entries import Entries, EntryKind, plain_array
from ebagx._core.forms.flat import as_numpy, entries_of_array, entries_of_list
from ebagx._core.forms.lists import is_ragged, join_lists, listed
from ebagx._core.forms.source import Joined


def read(value: Any, name: str, kind: EntryKind, empty_is_ragged: bool) -> Joined:
    """Return the numbers of ids or of weights, with offsets if their bags are apart.

    Parameters
    ----------
    value : object
        A list, an iterator, a column, an array of objects: see the page on ragged data. Everything
        else is what ``numpy.asarray`` takes.
    name : str
        Its name in error messages.
    kind : EntryKind
        What its entries must be.
    empty_is_ragged : bool
        An empty list has no bags, rather than no entries.
    """
    if not isinstance(value, (list, tuple)):
        if is_arrow(value) and (found := read_arrow(value, name, kind)) is not None:
            return found
        value = listed(value)
    if isinstance(value, (list, tuple)):
        if (array := plain_array(value, kind)) is not None:
            return Joined(Entries(array), None)
        if is_ragged(value, None) if value else empty_is_ragged:
            return join_lists(value, name, kind)
        return Joined(entries_of_list(value, name, kind), None)
    array = as_numpy(value, name)
    if array.dtype == object and array.ndim == 1:
        bags = array.tolist()  # arrays and series of lists
        if is_ragged(bags, None) if bags else empty_is_ragged:
            return join_lists(bags, name, kind)
    return Joined(entries_of_array(value, array, name, kind), None)
