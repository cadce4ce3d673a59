# Random numbers, and positives that a draw must not give: draw.pxi and pair_forward.pxi use both.

cdef inline uint64_t random_bits(uint64_t seed, uint64_t number) noexcept nogil:
    cdef uint64_t z = seed + (number + 1) * 0x9E3779B97F4A7C15ULL
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL
    return z ^ (z >> 31)


cdef bint is_positive(
    Indices positives, Py_ssize_t start, Py_ssize_t end, Py_ssize_t drawn
) noexcept nogil:
    # Returns whether a class is among the ascending ones from `start` to `end`.
    cdef Py_ssize_t middle, found
    while start < end:
        middle = start + (end - start) // 2
        found = index_at(positives, middle)
        if found == drawn:
            return True
        if found < drawn:
            start = middle + 1
        else:
            end = middle
    return False
