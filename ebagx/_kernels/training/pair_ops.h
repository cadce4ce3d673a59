/* Loops over the columns of one pair of a user and an item. */
#ifndef EBAGX_PAIR_OPS_H
#define EBAGX_PAIR_OPS_H

#include "common/portable.h"

/* A pooled bag without one of its lookups. */
EBAGX_INLINE void ebagx_leave_out(
    float *out, const float *pooled, const float *row, float weight, float divisor, ptrdiff_t dim)
{
    ptrdiff_t d;
    EBAGX_SIMD
    for (d = 0; d < dim; d++) out[d] = (pooled[d] - weight * row[d]) / divisor;
}

EBAGX_INLINE void ebagx_scaled_row(float *out, const float *row, float scale, ptrdiff_t dim)
{
    ptrdiff_t d;
    EBAGX_SIMD
    for (d = 0; d < dim; d++) out[d] = scale * row[d];
}

EBAGX_INLINE void ebagx_add_scaled(float *out, const float *row, float scale, ptrdiff_t dim)
{
    ptrdiff_t d;
    EBAGX_SIMD
    for (d = 0; d < dim; d++) out[d] += scale * row[d];
}

EBAGX_INLINE void ebagx_divide_row(float *out, float divisor, ptrdiff_t dim)
{
    ptrdiff_t d;
    EBAGX_SIMD
    for (d = 0; d < dim; d++) out[d] /= divisor;
}

EBAGX_INLINE void ebagx_add_row(float *out, const float *row, ptrdiff_t dim)
{
    ptrdiff_t d;
    EBAGX_SIMD
    for (d = 0; d < dim; d++) out[d] += row[d];
}

#endif
