"""Read instruction-set levels from CPUID, OpenMP's threads, and addresses; ask for pages.

Tensors of other libraries are seen as memory here, too.

This module is built with baseline flags only. A module built for AVX2 has AVX2 instructions in its
own start-up code, so the level must be known before such a module is imported.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

cdef extern from * nogil:
    """
    #if defined(_MSC_VER) && defined(_M_X64)
    #include <intrin.h>
    static void ebagx_cpuid(unsigned leaf, unsigned r[4]) { __cpuidex((int *)r, (int)leaf, 0); }
    static unsigned ebagx_xcr0(void) { return (unsigned)_xgetbv(0); }
    #define EBAGX_X86 1
    #elif defined(__x86_64__)
    #include <cpuid.h>
    static void ebagx_cpuid(unsigned leaf, unsigned r[4])
    { __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]); }
    static unsigned ebagx_xcr0(void)
    { unsigned a, d; __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0)); return a; }
    #define EBAGX_X86 1
    #endif

    /* FMA, F16C and the given bits of leaf 7 in the processor, and the given state of registers
       kept by the operating system. */
    static int ebagx_has(unsigned features, unsigned state)
    {
    #ifdef EBAGX_X86
        const unsigned need = (1u << 12) | (1u << 27) | (1u << 28) | (1u << 29);
        unsigned r[4];
        ebagx_cpuid(0, r);
        if (r[0] < 7) return 0;
        ebagx_cpuid(1, r);
        if ((r[2] & need) != need || (ebagx_xcr0() & state) != state) return 0;
        ebagx_cpuid(7, r);
        return (r[1] & features) == features;
    #else
        return 0;
    #endif
    }

    #define EBAGX_AVX2 (1u << 5)
    #define EBAGX_AVX512 (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) /* F, DQ, BW, VL */
    #define EBAGX_YMM 0x06u /* with XMM */
    #define EBAGX_ZMM 0xE6u /* with masks, the upper halves and the upper 16 registers */

    #include <stdlib.h> /* defines __GLIBC__ */
    #ifdef __GLIBC__
    #include <malloc.h>
    static int ebagx_give_back(void) { return malloc_trim(0); }
    #else
    static int ebagx_give_back(void) { return 0; }
    #endif

    #ifdef _OPENMP
    #include <omp.h>
    #define EBAGX_OPENMP _OPENMP
    #else
    #define EBAGX_OPENMP 0
    #define omp_get_max_threads() 1
    #endif
    """
    bint ebagx_has(unsigned features, unsigned state)
    const unsigned EBAGX_AVX2, EBAGX_AVX512, EBAGX_YMM, EBAGX_ZMM
    int EBAGX_OPENMP
    int ebagx_give_back()
    int omp_get_max_threads()


def has_avx2() -> bool:
    """Return whether processor and operating system run the avx2 level (AVX2, FMA, F16C)."""
    return ebagx_has(EBAGX_AVX2, EBAGX_YMM)


def has_avx512() -> bool:
    """Return whether they run the avx512 level (AVX-512 F, DQ, BW and VL, and all of avx2)."""
    return ebagx_has(EBAGX_AVX2 | EBAGX_AVX512, EBAGX_ZMM)


def openmp_version() -> int:
    """Return the date, yyyymm, of the OpenMP specification of the compiler; 0 without OpenMP."""
    return EBAGX_OPENMP


def max_threads() -> int:
    """Return how many threads OpenMP would use for the calling thread, 1 without OpenMP."""
    return omp_get_max_threads()


def misalignment(memory, Py_ssize_t alignment, /) -> int:
    """Return how many bytes past a multiple of `alignment` a contiguous array starts.

    NumPy's ``array.ctypes.data`` takes 5 microseconds between other work, this a tenth of that.
    """
    cdef Py_buffer view
    PyObject_GetBuffer(memory, &view, PyBUF_SIMPLE)
    cdef size_t address = <size_t>view.buf
    PyBuffer_Release(&view)
    return <Py_ssize_t>(address % <size_t>alignment)


def give_back_freed() -> bool:
    """Give memory that has been freed back to the system; return whether some has been.

    glibc keeps up to 64 MB of it for later requests, once arrays of 32 MB have been freed. Other
    libraries keep less, and nothing is done. It takes some milliseconds.
    """
    return bool(ebagx_give_back())


include "pages.pxi"
include "tensors.pxi"
