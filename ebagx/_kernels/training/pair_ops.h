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

/* The greatest of a number and others. One comparison after the other took as long as the scores. */
EBAGX_INLINE float ebagx_greatest(float first, const float *others, ptrdiff_t count)
{
    float lanes[16];
    ptrdiff_t k;
    int lane;
    for (lane = 0; lane < 16; lane++) lanes[lane] = first;
    for (k = 0; k + 16 <= count; k += 16) {
        EBAGX_SIMD
        for (lane = 0; lane < 16; lane++)
            lanes[lane] = others[k + lane] > lanes[lane] ? others[k + lane] : lanes[lane];
    }
    for (; k < count; k++) first = others[k] > first ? others[k] : first;
    for (lane = 0; lane < 16; lane++) first = lanes[lane] > first ? lanes[lane] : first;
    return first;
}

/* The loss of the logit of an item against those of others. Each becomes the loss's derivative. The
   own one is minus the sum of the others, so it is 0 only if all are. */
EBAGX_INLINE float ebagx_pair_softmax(float *own, float *others, float strength, ptrdiff_t count)
{
    float lanes[16] = {0}, greatest = ebagx_greatest(*own, others, count), rest, total, logit = *own;
    ptrdiff_t k;
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
