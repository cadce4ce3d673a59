# Pages of memory maps: the system is asked to read those of some rows before they are used.
#
# A use of a missing page waits for the disk, one page after the other. Asked for all pages at once,
# the system reads them in parallel, and while other code runs.

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc, qsort

cdef extern from * nogil:
    """
    #if defined(_WIN32)
    /* Windows reads pages ahead by itself; nothing is asked for. */
    static void ebagx_will_need(size_t start, size_t bytes) { (void)start; (void)bytes; }
    static size_t ebagx_page_bytes(void) { return 0; }
    static long ebagx_blocks_read(void) { return 0; }
    static int ebagx_is_missing(size_t start) { (void)start; return 0; }
    /* Files that are mapped cannot become shorter. */
    static long long ebagx_file_bytes(int descriptor) { (void)descriptor; return -1; }
    #else
    #include <sys/mman.h>
    #include <sys/resource.h>
    #include <sys/stat.h>
    #include <unistd.h>
    static size_t ebagx_page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }
    /* Errors are ignored: this is advice. */
    static void ebagx_will_need(size_t start, size_t bytes)
    { (void)madvise((void *)start, bytes, MADV_WILLNEED); }
    #ifdef RUSAGE_THREAD
    /* The blocks that this thread has asked a disk for, on Linux. */
    static long ebagx_blocks_read(void)
    { struct rusage used; return getrusage(RUSAGE_THREAD, &used) ? 0 : used.ru_inblock; }
    #else
    static long ebagx_blocks_read(void) { return 0; }
    #endif
    /* Linux calls all pages of other users' files present, so the page is asked for, too: that
       reads blocks if it is missing. File systems without a disk do not count blocks. */
    static int ebagx_is_missing(size_t start)
    {
        char state = 1;
        if (!mincore((void *)start, 1, (void *)&state) && !(state & 1)) return 1;
        ebagx_will_need(start, 1);
        return 0;
    }
    static long long ebagx_file_bytes(int descriptor)
    { struct stat found; return fstat(descriptor, &found) ? -1 : (long long)found.st_size; }
    #endif
    """
    void ebagx_will_need(size_t start, size_t bytes)
    size_t ebagx_page_bytes()
    long ebagx_blocks_read()
    bint ebagx_is_missing(size_t start)
    long long ebagx_file_bytes(int descriptor)

cdef enum:
    SAMPLE = 64        # rows by which a map is found to be in memory
    MOST_RUNS = 32768  # that are sorted at once


# The rows of an array in a map: each is one stretch of memory, or some that lie apart.
cdef struct Stretches:
    size_t address
    Py_ssize_t num_rows
    Py_ssize_t row_bytes  # from a row to the next
    Py_ssize_t count      # of one row
    Py_ssize_t apart      # bytes from a stretch to the next
    size_t length         # bytes of each


# Pages [first, stop), by number.
cdef struct Run:
    size_t first
    size_t stop


cdef int by_first(const void* a, const void* b) noexcept nogil:
    cdef size_t x = (<const Run*>a).first, y = (<const Run*>b).first
    return (x > y) - (x < y)


cdef void ask_for_runs(Run* runs, Py_ssize_t count, size_t page) noexcept nogil:
    # Asks for each page once, and for neighbours in one call.
    cdef Py_ssize_t k
    cdef Run run
    if count == 0:
        return
    qsort(runs, <size_t>count, sizeof(Run), by_first)
    run = runs[0]
    for k in range(1, count):
        if runs[k].first <= run.stop:
            run.stop = max(run.stop, runs[k].stop)
        else:
            ebagx_will_need(run.first * page, (run.stop - run.first) * page)
            run = runs[k]
    ebagx_will_need(run.first * page, (run.stop - run.first) * page)


cdef inline Py_ssize_t entry(const void* rows, bint is_long, Py_ssize_t k) noexcept nogil:
    return <Py_ssize_t>(<const int64_t*>rows)[k] if is_long else (<const int32_t*>rows)[k]


cdef bint any_missing(
    const Stretches* table, const void* rows, bint is_long, Py_ssize_t count, size_t page
) noexcept nogil:
    # Returns whether a page of a sample of the rows is missing.
    cdef Py_ssize_t k, row, size = min(count, SAMPLE)
    cdef long before = ebagx_blocks_read()
    cdef size_t start
    for k in range(size):
        row = entry(rows, is_long, count // size * k)
        if 0 <= row < table.num_rows:
            start = table.address + <size_t>(row * table.row_bytes)
            if ebagx_is_missing(start // page * page):
                return True
    return ebagx_blocks_read() != before


cdef void ask_for_rows(
    const Stretches* table, const void* rows, bint is_long, Py_ssize_t count, size_t page,
    Run* runs,
) noexcept nogil:
    cdef Py_ssize_t k, row, j, found = 0
    cdef size_t start
    for k in range(count):
        row = entry(rows, is_long, k)
        if not 0 <= row < table.num_rows:
            continue
        start = table.address + <size_t>(row * table.row_bytes)
        for j in range(table.count):
            if found == MOST_RUNS:
                ask_for_runs(runs, found, page)
                found = 0
            runs[found] = Run(start // page, (start + table.length - 1) // page + 1)
            found += 1
            start += <size_t>table.apart
    ask_for_runs(runs, found, page)


def read_ahead(
    size_t address, Py_ssize_t num_rows, Py_ssize_t row_bytes, Py_ssize_t stretches,
    Py_ssize_t apart, size_t length, rows, bint in_memory, /,
) -> bool:
    """Ask the system for the pages of some rows of a memory map; do not wait for them.

    Row r has `stretches` stretches of `length` bytes, which start `apart` bytes from each other,
    the first at ``address + r * row_bytes``. `rows`, contiguous int32 or int64, may be in any
    order; those outside [0, num_rows) are left out. Nothing of the map is read here.

    If the map seems to be in memory, a sample of the rows is looked at first, and the others only
    if pages of that are missing. Return False if none is. The GIL is free meanwhile. Cost: half a
    microsecond for each sampled page that is in memory, and some for each missing one.
    """
    cdef Stretches table = Stretches(address, num_rows, row_bytes, stretches, apart, length)
    cdef size_t page = ebagx_page_bytes()
    cdef Py_buffer view
    cdef Run* runs
    cdef Py_ssize_t count
    cdef bint missing = True
    if page == 0:
        return False
    PyObject_GetBuffer(rows, &view, PyBUF_SIMPLE)
    count = view.len // view.itemsize
    runs = <Run*>malloc(MOST_RUNS * sizeof(Run))
    if runs != NULL and count > 0 and length > 0:
        with nogil:
            if in_memory:
                missing = any_missing(&table, view.buf, view.itemsize == 8, count, page)
            if missing:
                ask_for_rows(&table, view.buf, view.itemsize == 8, count, page, runs)
    free(runs)
    PyBuffer_Release(&view)
    return missing


def file_bytes(int descriptor, /) -> int:
    """Return the size of an open file, or -1 if the system does not tell.

    The GIL is kept, which `mmap.size` and `os.fstat` give away: to get it back from another thread
    takes up to 50 microseconds, and this 0.2.
    """
    return ebagx_file_bytes(descriptor)
