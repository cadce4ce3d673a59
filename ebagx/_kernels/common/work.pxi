# How bags are shared out among threads: by lookups, not by count.
#
# The bags are cut into units of about equal cost (their lookups, plus one per bag). A giant bag,
# larger than a thread's whole share, is left out of its unit and cut by column blocks instead:
# whoever computes a column adds its lookups in bag order, so no bit depends on the cut.
#
# One unit is run by a plain call: even a team of one thread costs OpenMP a microsecond.

cdef enum:
    UNITS_PER_THREAD = 4  # threads finish together, and each unit costs half a microsecond
    AHEAD = 16            # lookups between a prefetch and its use: 2x on DRAM-bound data


cdef inline Py_ssize_t clamped(Py_ssize_t value, Py_ssize_t limit) noexcept nogil:
    return 0 if value < 0 else (limit if value > limit else value)


cdef inline Py_ssize_t unit_count(Py_ssize_t num_bags, int num_threads) noexcept nogil:
    if num_threads <= 1:
        return 1
    return min(num_bags, <Py_ssize_t>num_threads * UNITS_PER_THREAD)


cdef inline Py_ssize_t unit_start(
    const index_t* offsets_b, Py_ssize_t num_bags, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # The first bag b with offsets[b] + b >= unit / units of the total cost. The offsets may be a
    # part of longer ones, which start anywhere.
    cdef double base = <double>offsets_b[0]
    cdef double goal = base + (<double>offsets_b[num_bags] - base + num_bags) * unit / units
    cdef Py_ssize_t low = 0, high = num_bags, middle
    if unit == units:
        return num_bags
    while low < high:
        middle = low + (high - low) // 2
        if <double>offsets_b[middle] + middle < goal:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline Py_ssize_t even_start(
    Py_ssize_t count, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # Where a unit starts of things that cost the same.
    return count // units * unit + min(unit, count % units)


cdef inline Py_ssize_t giant_size(
    const index_t* offsets_b, Py_ssize_t num_bags, int num_threads
) noexcept nogil:
    # Bags with more lookups than this are giants; below 4096 lookups a split costs more.
    cdef Py_ssize_t num_lookups = offsets_b[num_bags] - offsets_b[0]
    if num_threads <= 1:
        return num_lookups
    return max(num_lookups // num_threads, 4096)


cdef inline Py_ssize_t column_start(
    Py_ssize_t dim, Py_ssize_t part, Py_ssize_t parts
) noexcept nogil:
    # Cuts fall on multiples of 16 columns: a cache line of float.
    return dim if part == parts else dim * part // parts // 16 * 16


# The lookups [start, end) of one bag, and the last lookup of all, where looking ahead ends. Passed
# by address: a copy would be read in wider words than it was just written in, for 30 cycles.
cdef struct Lookups:
    Py_ssize_t start
    Py_ssize_t end
    Py_ssize_t last


cdef inline Lookups lookups_of_bag(
    const index_t* offsets_b, Py_ssize_t b, Py_ssize_t n
) noexcept nogil:
    cdef Lookups bag
    # Empty rather than backwards, if another thread has changed the offsets.
    bag.start = clamped(offsets_b[b], n)
    bag.end = max(bag.start, clamped(offsets_b[b + 1], n))
    bag.last = n - 1
    return bag
