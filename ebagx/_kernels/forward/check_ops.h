/* The loop of check.pxi that must vectorise. It stays a function of its own: inlined, pooling would
   have a copy of it for each of its types. */
#ifndef EBAGX_CHECK_OPS_H
#define EBAGX_CHECK_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "../common/portable.h"

/* any_outside: returns whether an index is outside [0, count). There is no early exit, and no
                comparison: vectors of integers have few. Both index and last - index have a sign
                bit of 0 just if 0 <= index <= last. */
#define EBAGX_CHECK_OPS(TYPE, UNSIGNED, BITS)                                                      \
    EBAGX_OUT_OF_LINE int ebagx_any_outside_##TYPE(                                                \
        const TYPE##_t *indices, ptrdiff_t n, ptrdiff_t count)                                     \
    {                                                                                              \
        const int64_t most = INT##BITS##_MAX;                                                      \
        const UNSIGNED last = (UNSIGNED)(count - 1 < most ? count - 1 : most);                     \
        UNSIGNED bits = 0;                                                                         \
        ptrdiff_t k;                                                                               \
        for (k = 0; k < n; k++) bits |= (UNSIGNED)indices[k] | (last - (UNSIGNED)indices[k]);      \
        return (bits >> (BITS - 1)) != 0;                                                          \
    }

EBAGX_CHECK_OPS(int32, uint32_t, 32)
EBAGX_CHECK_OPS(int64, uint64_t, 64)

#endif
