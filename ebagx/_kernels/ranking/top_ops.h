/* These loops over the items of a panel must vectorise. A panel has the vectors of 8 items side by
   side, so that one addition serves all 8, and each score is added in the order of the columns. */
#ifndef EBAGX_TOP_OPS_H
#define EBAGX_TOP_OPS_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "../common/portable.h"

#define EBAGX_TILE_ITEMS 8 /* items */

/* The sums of so many users for one panel stay in registers. */
#if defined(__AVX512F__)
#define EBAGX_TILE_USERS 8
#else
#define EBAGX_TILE_USERS 4
#endif

/* The product of two floats is exact in double: a fused operation has the bits of two. */
#if defined(__FMA__)
#define EBAGX_ADD_PRODUCT(sum, left, right) __builtin_fma(left, right, sum)
#else
#define EBAGX_ADD_PRODUCT(sum, left, right) ((sum) + (left) * (right))
#endif

/* The numbers of two halves in turns, as vectors of 4 interleave: wider ones need twice the steps. */
EBAGX_INLINE void ebagx_interleave(float *out, const float *halves)
{
    int part, i;
    EBAGX_UNROLL
    for (part = 0; part < 32; part += 4) {
        EBAGX_SIMD
        for (i = 0; i < 4; i++) {
            out[2 * (part + i)] = halves[part + i];
            out[2 * (part + i) + 1] = halves[32 + part + i];
        }
    }
}

/* panel[d][item] = items[item][d] for 8 columns of 8 items. A place has three bits of the row and
   three of the column. Each of three steps rotates them by one: so rows become columns. To copy one
   number after the other took most of the time of a single user. */
EBAGX_INLINE void ebagx_fill_block(double *panel, const float *items, ptrdiff_t row)
{
    float even[64], odd[64];
    int i;
    EBAGX_UNROLL
    for (i = 0; i < 8; i++) memcpy(even + 8 * i, items + i * row, 8 * sizeof(float));
    ebagx_interleave(odd, even);
    ebagx_interleave(even, odd);
    ebagx_interleave(odd, even);
    EBAGX_SIMD
    for (i = 0; i < 64; i++) panel[i] = odd[i];
}

/* The same for all columns. */
EBAGX_INLINE void ebagx_fill_panel(
    double *panel, const float *items, ptrdiff_t row, ptrdiff_t dim)
{
    ptrdiff_t d = 0;
    int item;
    for (; d + 8 <= dim; d += 8) ebagx_fill_block(panel + EBAGX_TILE_ITEMS * d, items + d, row);
    for (; d < dim; d++)
        for (item = 0; item < EBAGX_TILE_ITEMS; item++)
            panel[EBAGX_TILE_ITEMS * d + item] = items[item * row + d];
}

/* scores[u][item] = bias[item] + sum_d users[u][d] * panel[d][item], in the order of d */
EBAGX_INLINE void ebagx_score_tile(
    double *scores, const double *users, ptrdiff_t row, const double *panel, const double *bias,
    ptrdiff_t dim, int rows)
{
    double sums[EBAGX_TILE_USERS][EBAGX_TILE_ITEMS];
    ptrdiff_t d;
    int u, item;
    EBAGX_UNROLL
    for (u = 0; u < rows; u++) {
        EBAGX_SIMD
        for (item = 0; item < EBAGX_TILE_ITEMS; item++) sums[u][item] = bias[item];
    }
    for (d = 0; d < dim; d++) {
        EBAGX_UNROLL
        for (u = 0; u < rows; u++) {
            double factor = users[u * row + d];
            EBAGX_SIMD
            for (item = 0; item < EBAGX_TILE_ITEMS; item++)
                sums[u][item] =
                    EBAGX_ADD_PRODUCT(sums[u][item], factor, panel[EBAGX_TILE_ITEMS * d + item]);
        }
    }
    EBAGX_UNROLL
    for (u = 0; u < rows; u++) {
        EBAGX_SIMD
        for (item = 0; item < EBAGX_TILE_ITEMS; item++) scores[EBAGX_TILE_ITEMS * u + item] = sums[u][item];
    }
}

/* inverses[item] = 1 / the length of an item, or 0 for zeros; squares of floats are exact */
EBAGX_INLINE void ebagx_inverse_lengths(double *inverses, const double *panel, ptrdiff_t dim)
{
    double sums[EBAGX_TILE_ITEMS] = {0};
    ptrdiff_t d;
    int item;
    for (d = 0; d < dim; d++) {
        EBAGX_SIMD
        for (item = 0; item < EBAGX_TILE_ITEMS; item++) {
            double number = panel[EBAGX_TILE_ITEMS * d + item];
            sums[item] = EBAGX_ADD_PRODUCT(sums[item], number, number);
        }
    }
    for (item = 0; item < EBAGX_TILE_ITEMS; item++)
        inverses[item] = sums[item] > 0 ? 1 / sqrt(sums[item]) : 0;
}

/* scores[u][item] *= factors[item] */
EBAGX_INLINE void ebagx_scale_tile(double *scores, const double *factors, int rows)
{
    int u, item;
    for (u = 0; u < rows; u++) {
        EBAGX_SIMD
        for (item = 0; item < EBAGX_TILE_ITEMS; item++)
            scores[EBAGX_TILE_ITEMS * u + item] *= factors[item];
    }
}

/* Returns whether one of the scores of a panel is above a limit. */
EBAGX_INLINE int ebagx_any_above(const double *scores, double limit)
{
    int item, found = 0;
    EBAGX_SIMD
    for (item = 0; item < EBAGX_TILE_ITEMS; item++) found |= scores[item] > limit;
    return found;
}

#endif
