/* Loops over the columns of one pair of a user and an item. */
#ifndef EBAGX_PAIR_OPS_H
#define EBAGX_PAIR_OPS_H

#include "common/portable.h"
#include "common/row_ops.h"
#include "training/functions.h"

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

/* out += sum of scales[k * step] * rows[k], for columns that stay in registers meanwhile. */
EBAGX_INLINE void ebagx_add_scaled_columns(
    float *out, const float *rows, ptrdiff_t row, const float *scales, ptrdiff_t step,
    ptrdiff_t count, int width)
{
    float sum[32];
    ptrdiff_t k;
    int d;
    for (d = 0; d < width; d++) sum[d] = out[d];
    for (k = 0; k < count; k++) {
        EBAGX_SIMD
        for (d = 0; d < width; d++) sum[d] += scales[k * step] * rows[k * row + d];
    }
    for (d = 0; d < width; d++) out[d] = sum[d];
}

EBAGX_INLINE void ebagx_add_scaled_rows(
    float *out, const float *rows, ptrdiff_t row, const float *scales, ptrdiff_t step,
    ptrdiff_t count, ptrdiff_t dim)
{
    ptrdiff_t d = 0;
    for (; d + 32 <= dim; d += 32)
        ebagx_add_scaled_columns(out + d, rows + d, row, scales, step, count, 32);
    for (; d + 8 <= dim; d += 8)
        ebagx_add_scaled_columns(out + d, rows + d, row, scales, step, count, 8);
    for (; d < dim; d++)
        ebagx_add_scaled_columns(out + d, rows + d, row, scales, step, count, 1);
}

/* The loss of the logit of an item against those of others. Each becomes the loss's derivative. The
   own one is minus the sum of the others, so it is 0 only if all are. */
EBAGX_INLINE float ebagx_pair_softmax(float *own, float *others, float strength, ptrdiff_t count)
{
    float lanes[16] = {0}, greatest = *own, rest, total, logit = *own;
    ptrdiff_t k;
    for (k = 0; k < count; k++) greatest = others[k] > greatest ? others[k] : greatest;
    EBAGX_SIMD
    for (k = 0; k < count; k++) others[k] = ebagx_exp(others[k] - greatest);
    for (k = 0; k + 16 <= count; k += 16) ebagx_add_f32(lanes, others + k, 16);
    ebagx_add_f32(lanes, others + k, (int)(count - k));
    rest = ebagx_add_lanes_f32(lanes);
    total = ebagx_exp(logit - greatest) + rest;
    EBAGX_SIMD
    for (k = 0; k < count; k++) others[k] = strength * (others[k] / total);
    *own = -strength * (rest / total);
    return strength * ((greatest - logit) + ebagx_log(total));
}

#endif
