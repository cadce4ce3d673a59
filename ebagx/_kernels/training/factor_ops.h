/* These loops of factorization machines must vectorise: the sums of factors, and of their squares,
   over the lookups of a bag. */
#ifndef EBAGX_FACTOR_OPS_H
#define EBAGX_FACTOR_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "../common/portable.h"

#define EBAGX_FACTOR_COLUMNS 16
#define EBAGX_ROWS_AHEAD 16 /* lookups between a prefetch and its use */

/* out[d] = sum_k t[k, d] and lanes[d] += out[d]^2 - sum_k t[k, d]^2 with
   t[k, d] = weights[k] * row(indices[k])[d], over `width` columns and in the order of k. The rows
   of `last` lookups may be prefetched. */
EBAGX_INLINE void ebagx_pool_squares(
    float *out, float *lanes, const char *table, ptrdiff_t row_bytes, const int64_t *indices,
    const float *weights, ptrdiff_t count, ptrdiff_t last, int width)
{
    float sums[EBAGX_FACTOR_COLUMNS], squares[EBAGX_FACTOR_COLUMNS];
    ptrdiff_t k;
    int d;
    EBAGX_SIMD
    for (d = 0; d < width; d++) sums[d] = squares[d] = 0;
    for (k = 0; k < count; k++) {
        const float *row = (const float *)(table + indices[k] * row_bytes);
        ptrdiff_t ahead = k + EBAGX_ROWS_AHEAD < last ? k + EBAGX_ROWS_AHEAD : last;
        float weight = weights[k];
        EBAGX_PREFETCH((size_t)table + (size_t)(indices[ahead] * row_bytes));
        EBAGX_SIMD
        for (d = 0; d < width; d++) {
            float term = weight * row[d];
            sums[d] += term;
            squares[d] += term * term;
        }
    }
    EBAGX_SIMD
    for (d = 0; d < width; d++) {
        out[d] = sums[d];
        lanes[d] += sums[d] * sums[d] - squares[d];
    }
}

#endif
