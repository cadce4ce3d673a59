# Ladders: they lead from a call to the code for its dtypes, and to its units on several threads.
#
# A call is a struct: its arrays by name, in the order of the arguments, then its numbers. The type
# of the struct says which kernel runs. A kernel supplies the work on one unit of a call, compiled
# for each dtype; the values 0 that it is called with only name types:
#
#     Py_ssize_t name_unit(const NameCall* call, index, cell, real, unit, units)
#
# It returns flags, which the units of a call combine by |; a call that has one unit may return any
# number. A level lists the calls that it has in `dtype_call_t`, `index_call_t` and, if their units
# need no dtype, `plain_call_t`; Cython drops the branches of all others.

# These are all calls; a level need not have every one.
cdef struct IndicesValidCall
cdef struct OffsetsValidCall
cdef struct CloseOffsetsCall
cdef struct SelectCall
cdef struct PoolCall
cdef struct ExtremeCall
cdef struct ExtremeGradientCall
cdef struct WeightsGradientCall
cdef struct ScatterCall
cdef struct SortCall
cdef struct GroupCall
cdef struct CountCall
cdef struct TransposeCall
cdef struct TransposeFewCall
cdef struct RenormCall
cdef struct AddRowsCall
cdef struct ClearRowsCall
cdef struct StepCall
cdef struct RowSquaresCall
cdef struct JobsCall
cdef struct DigitCall
cdef struct PoolCodesCall
cdef struct UnpackCall
cdef struct DrawCall
cdef struct CombineCall
cdef struct TopItemsCall
cdef struct TopScoresCall

ctypedef fused call_t:
    index_call_t
    dtype_call_t
    plain_call_t


cdef inline Py_ssize_t run_index_unit(
    const index_call_t* call, index_t index, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    if index_call_t is IndicesValidCall:
        return indices_valid_unit(call, index, unit, units)
    elif index_call_t is OffsetsValidCall:
        return offsets_valid_unit(call, index)
    elif index_call_t is CloseOffsetsCall:
        return close_offsets_unit(call, index)
    elif index_call_t is SortCall:
        return pack_unit(call, index, unit, units)
    elif index_call_t is GroupCall:
        return group_unit(call, index)
    elif index_call_t is CountCall:
        return count_unit(call, index, unit, units)
    elif index_call_t is ClearRowsCall:
        return clear_rows_unit(call, index, unit, units)


cdef inline Py_ssize_t run_dtype_unit(
    const dtype_call_t* call, index_t index, cell_t cell, real_t real, Py_ssize_t unit,
    Py_ssize_t units,
) noexcept nogil:
    if dtype_call_t is PoolCall:
        return pool_unit(call, index, cell, real, unit, units)
    elif dtype_call_t is ExtremeCall:
        return extreme_unit(call, index, cell, real, unit, units)
    elif dtype_call_t is ExtremeGradientCall:
        return extreme_gradient_unit(call, index, real, unit, units)
    elif dtype_call_t is WeightsGradientCall:
        return weights_gradient_unit(call, index, cell, real, unit, units)
    elif dtype_call_t is ScatterCall:
        return scatter_unit(call, index, real, unit, units)
    elif dtype_call_t is TransposeCall:
        return transpose_unit(call, index, real, unit, units)
    elif dtype_call_t is TransposeFewCall:
        return transpose_few_unit(call, index, real)
    elif dtype_call_t is SelectCall:
        return select_unit(call, index, real)
    elif dtype_call_t is RenormCall:
        return renorm_unit(call, index, cell, real, unit, units)
    elif dtype_call_t is AddRowsCall:
        return add_rows_unit(call, index, real, unit, units)
    elif dtype_call_t is StepCall:
        return step_unit(call, index, cell, real, unit, units)
    elif dtype_call_t is RowSquaresCall:
        return row_squares_unit(call, real)


cdef inline Py_ssize_t run_by_dtype(
    const dtype_call_t* call, const Arrays* arrays, index_t index, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # The dtype is that of cells or, in a call without cells, that of sums.
    cdef int dtype = arrays.cell if arrays.cell >= 0 else arrays.real
    if dtype == FLOAT:
        return run_dtype_unit(call, index, <float>0, <float>0, unit, units)
    if dtype == DOUBLE:
        return run_dtype_unit(call, index, <double>0, <double>0, unit, units)
    if dtype == HALF:
        return run_dtype_unit(call, index, <uint16_t>0, <float>0, unit, units)
    return run_dtype_unit(call, index, <int16_t>0, <float>0, unit, units)


cdef inline Py_ssize_t run_plain_unit(
    const plain_call_t* call, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    if plain_call_t is JobsCall:
        return jobs_unit(call, unit, units)
    elif plain_call_t is DigitCall:
        return digit_unit(call, unit, units)
    elif plain_call_t is DrawCall:
        return draw_unit(call, unit, units)
    elif plain_call_t is CombineCall:
        return combine_unit(call, unit, units)
    elif plain_call_t is TopItemsCall:
        return top_items_unit(call, unit, units)
    elif plain_call_t is TopScoresCall:
        return top_scores_unit(call, unit, units)
    elif plain_call_t is PoolCodesCall:
        return pool_codes_unit(call, unit, units)
    elif plain_call_t is UnpackCall:
        return unpack_unit(call, unit, units)


cdef Py_ssize_t run_unit(
    const call_t* call, const Arrays* arrays, Py_ssize_t unit, Py_ssize_t units
) noexcept nogil:
    # Runs one unit of a call, by code for the dtypes of its arrays.
    if call_t in plain_call_t:
        return run_plain_unit(call, unit, units)
    elif call_t in dtype_call_t:
        if arrays.index == INT32:
            return run_by_dtype(call, arrays, <int32_t>0, unit, units)
        return run_by_dtype(call, arrays, <int64_t>0, unit, units)
    else:
        if arrays.index == INT32:
            return run_index_unit(call, <int32_t>0, unit, units)
        return run_index_unit(call, <int64_t>0, unit, units)


cdef void take_units(const call_t* call, const Arrays* arrays, Region* region) noexcept nogil:
    # Runs units of a call, on one of its threads.
    cdef int64_t began = nanoseconds(), count = 0
    cdef Py_ssize_t found = 0, units = region.units, unit = take_unit(region)
    while unit < units:
        found |= run_unit(call, arrays, unit, units)
        count += 1
        unit = take_unit(region)
    leave_region(region, count, nanoseconds() - began, found)


cdef Py_ssize_t share_units(
    const call_t* call, const Arrays* arrays, Py_ssize_t units, int num_threads
) noexcept nogil:
    # Runs all units of a call. One unit is a plain call: even a team of one thread costs OpenMP a
    # microsecond. A call of several regions loses time in one of them at most.
    cdef Region region
    if units <= 1:
        return run_unit(call, arrays, 0, 1)
    begin_region(&region, units)
    if are_losing(region_times):
        take_units(call, arrays, &region)
    else:
        with parallel(num_threads=num_threads):
            take_units(call, arrays, &region)
    return end_region(&region, region_times)


cdef void cut_bags(bag_call_t* call, const Arrays* arrays, int num_threads) noexcept nogil:
    # Sets how many lookups a giant bag has more than. A call has a `cut` for this.
    cdef Indices offsets = Indices(call.offsets.data, arrays.index == INT64)
    cdef Py_ssize_t num_lookups = index_at(offsets, call.out.count) - index_at(offsets, 0)
    call.cut.giant = -1
    call.cut.most = num_lookups
    if num_threads > 1:
        call.cut.most = max(num_lookups // num_threads, LEAST_GIANT)


cdef Py_ssize_t share_giants(
    bag_call_t* call, const Arrays* arrays, int num_threads
) noexcept nogil:
    # Runs each giant bag of a call by columns.
    cdef Indices offsets = Indices(call.offsets.data, arrays.index == INT64)
    cdef Py_ssize_t b, found = 0
    for b in range(call.out.count):
        if index_at(offsets, b + 1) - index_at(offsets, b) > call.cut.most:
            call.cut.giant = b
            found |= share_units(call, arrays, num_threads, num_threads)
    return found


cdef Py_ssize_t share_bags(
    bag_call_t* call, const Arrays* arrays, int num_threads
) noexcept nogil:
    # Runs all bags of a call, then each giant bag by columns.
    cdef Py_ssize_t found
    cut_bags(call, arrays, num_threads)
    found = share_units(call, arrays, unit_count(call.out.count, num_threads), num_threads)
    if found & FOUND_GIANT:
        found |= share_giants(call, arrays, num_threads)
    return found
