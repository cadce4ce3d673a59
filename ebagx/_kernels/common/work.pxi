# Units of work: threads share bags by their lookups, not by count.
#
# The bags are cut into units of about equal cost (their lookups, plus one per bag). A giant bag,
# larger than a thread's whole share, is left out of its unit and cut by columns instead: one thread
# adds all lookups of a column, in bag order, so no bit depends on the cut.

from cython.parallel cimport parallel

cdef extern from "common/region.h" nogil:
    ctypedef struct Region "ebagx_region":
        int64_t units
    ctypedef struct RegionTimes "ebagx_region_times":
        pass
    int64_t nanoseconds "ebagx_nanoseconds"()
    bint are_losing "ebagx_are_losing"(RegionTimes*)
    void begin_region "ebagx_begin_region"(Region*, int64_t)
    int64_t take_unit "ebagx_take_unit"(Region*)
    void leave_region "ebagx_leave_region"(Region*, int64_t, int64_t, int64_t)
    int64_t end_region "ebagx_end_region"(Region*, RegionTimes*)

# Regions add their times here, if it is not NULL.
cdef RegionTimes* region_times = NULL
cdef Arrays arrays_of_times


def report_times(
    times,             # OUT (2,) int64, or None: report nothing
    /,
):
    """Add the times of all parallel regions to come to these totals, in nanoseconds.

    times[0] is the time that threads have won or, if it is negative, lost; times[1] is the time
    that one thread would have taken.
    """
    global region_times, arrays_of_times
    cdef Arrays arrays
    cdef Rows totals
    arrays.count = 0
    totals.data = NULL
    if times is not None:
        open_arrays(&arrays, &totals, (times,), b"q1w")
    region_times = <RegionTimes*>totals.data
    close_arrays(&arrays_of_times)
    arrays_of_times = arrays


cdef enum:
    UNITS_PER_THREAD = 4  # threads finish together, and each unit costs half a microsecond
    AHEAD = 16            # lookups between a prefetch and its use: 2x on DRAM-bound data
    LEAST_GIANT = 4096    # lookups below which a cut by columns costs more than it gains
    COLUMNS_OF_CUTS = 16  # a bag is cut at multiples of a cache line of float

# A unit of bags returns these, combined by |.
cdef enum:
    FOUND_OUTSIDE = 1  # an index is outside the table
    FOUND_GIANT = 2    # a giant bag was left out


# Code that is not compiled for both widths reads indices and offsets as these.
cdef struct Indices:
    char* data
    bint is_long  # int64, else int32


cdef inline Py_ssize_t index_at(Indices indices, Py_ssize_t k) noexcept nogil:
    if indices.is_long:
        return <Py_ssize_t>(<const int64_t*>indices.data)[k]
    return (<const int32_t*>indices.data)[k]


cdef inline void set_index(Indices indices, Py_ssize_t k, Py_ssize_t row) noexcept nogil:
    if indices.is_long:
        (<int64_t*>indices.data)[k] = row
    else:
        (<int32_t*>indices.data)[k] = <int32_t>row


cdef inline Indices indices_from(const index_t* indices_k) noexcept nogil:
    return Indices(<char*>indices_k, sizeof(index_t) == sizeof(int64_t))


cdef inline Py_ssize_t clamped(Py_ssize_t value, Py_ssize_t limit) noexcept nogil:
    return 0 if value < 0 else (limit if value > limit else value)


cdef inline Py_ssize_t unit_count(Py_ssize_t num_bags, int num_threads) noexcept nogil:
    if num_threads <= 1:
        return 1
    return min(num_bags, <Py_ssize_t>num_threads * UNITS_PER_THREAD)


cdef inline Py_ssize_t unit_start(
    Indices offsets_b, Py_ssize_t num_bags, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # Returns the first bag b with offsets[b] + b >= unit / units of the total cost. The offsets may
    # be a part of longer ones, which start anywhere.
    cdef double base = <double>index_at(offsets_b, 0)
    cdef double total = <double>index_at(offsets_b, num_bags) - base + num_bags
    cdef double goal = base + total * unit / units
    cdef Py_ssize_t low = 0, high = num_bags, middle
    if unit == units:
        return num_bags
    while low < high:
        middle = low + (high - low) // 2
        if <double>index_at(offsets_b, middle) + middle < goal:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline Py_ssize_t even_start(
    Py_ssize_t count, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # Returns where a unit starts among `count` things that cost the same.
    return count // units * unit + min(unit, count % units)


cdef inline Py_ssize_t column_start(
    Py_ssize_t dim, Py_ssize_t part, Py_ssize_t parts
) noexcept nogil:
    if part == parts:
        return dim
    return dim * part // parts // COLUMNS_OF_CUTS * COLUMNS_OF_CUTS


# A call cuts its bags by these.
cdef struct Cut:
    Py_ssize_t most   # lookups of a bag that is no giant
    Py_ssize_t giant  # the giant bag whose columns are shared out, or -1 while bags are


# A bag has the lookups [start, end); looking ahead ends at the last lookup of all bags. The struct
# is passed by address: a copy would be read in wider words than it was just written in, for 30
# cycles.
cdef struct Lookups:
    Py_ssize_t start
    Py_ssize_t end
    Py_ssize_t last


cdef inline Lookups lookups_of_bag(
    Indices offsets_b, Py_ssize_t b, Py_ssize_t n
) noexcept nogil:
    cdef Lookups bag
    # A bag is empty rather than backwards if another thread has changed the offsets.
    bag.start = clamped(index_at(offsets_b, b), n)
    bag.end = max(bag.start, clamped(index_at(offsets_b, b + 1), n))
    bag.last = n - 1
    return bag
