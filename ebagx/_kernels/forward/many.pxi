# The bags of many tables are pooled in one call: a job is a call of `pool`.
#
# The bags of each job are cut into as many units, and threads share the numbers of units: one
# thread pools unit u of every job. So jobs that are too small for two threads share them, and
# threads write to different rows where the jobs' outputs are columns of one array.
from cpython.mem cimport PyMem_Free, PyMem_Malloc

cdef enum:
    POOL_ARRAYS = 5
    RANGES_PER_THREAD = 2  # 8 units of 28 small jobs take a seventh longer than one


cdef struct PoolJob:
    PoolCall call
    Arrays arrays


cdef struct JobsCall:
    PoolJob* jobs
    Py_ssize_t count


cdef Py_ssize_t jobs_unit(const JobsCall* call, Py_ssize_t unit, Py_ssize_t units) noexcept nogil:
    cdef Py_ssize_t j, found = 0
    for j in range(call.count):
        found |= run_unit(&call.jobs[j].call, &call.jobs[j].arrays, unit, units)
    return found


cdef Py_ssize_t share_jobs(PoolJob* jobs, Py_ssize_t count, int num_threads) noexcept nogil:
    cdef JobsCall call = JobsCall(jobs, count)
    cdef Py_ssize_t j, units = 1, found
    for j in range(count):
        cut_bags(&jobs[j].call, &jobs[j].arrays, num_threads)
        units = max(units, jobs[j].call.out.count)
    units = min(units, <Py_ssize_t>num_threads * RANGES_PER_THREAD) if num_threads > 1 else 1
    found = share_units(&call, NULL, units, num_threads)
    if found & FOUND_GIANT:
        for j in range(count):
            found |= share_giants(&jobs[j].call, &jobs[j].arrays, num_threads)
    return found


def pool_many(
    tuple jobs_j,      # pairs: a tuple of the arrays of `pool`, OUT first, and its mode
    int num_threads,
    /,
):
    """Pool the bags of many tables: each job is a call ``pool(*arrays, mode, num_threads)``.

    Return whether every index of every job is inside its table. Cost: that of the calls, without
    their way through Python.
    """
    cdef Py_ssize_t opened = 0, found = 0
    cdef PoolJob* jobs = <PoolJob*>PyMem_Malloc(<size_t>len(jobs_j) * sizeof(PoolJob))
    if jobs == NULL:
        raise MemoryError
    try:
        for given, mode in jobs_j:
            if len(given) != POOL_ARRAYS:
                raise ValueError("a job must have the arrays of pool")
            open_pool(&jobs[opened].call, &jobs[opened].arrays, given, mode)
            if jobs[opened].call.out.data == NULL:
                close_arrays(&jobs[opened].arrays)
            else:
                opened += 1
        with nogil:
            found = share_jobs(jobs, opened, num_threads)
    finally:
        while opened:
            opened -= 1
            close_arrays(&jobs[opened].arrays)
        PyMem_Free(jobs)
    return not found & FOUND_OUTSIDE
