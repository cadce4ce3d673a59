/* These loops of combine.pxi, over one block of a row, must vectorise. Sums are in double. Blocks of
   STEP columns have a loop of their own, of a constant length: it takes half the time. */
#ifndef EBAGX_COMBINE_OPS_H
#define EBAGX_COMBINE_OPS_H

#include <math.h>

#include "../common/portable.h"

#define EBAGX_COMBINE_STEP 16 /* the STEP of combine.pxi */

/* add_change:  sum += row - factor * old, squares += the square of that
   restrain:    sum *= sqrt((before + added / (2 count) + tiny) / (before + added / 2 + tiny))
   set_changed: out = kept * old + scale * sum */
EBAGX_INLINE void ebagx_add_change_of(
    double *sum, double *squares, const float *row, const float *old, double factor, int width)
{
    int d;
    EBAGX_SIMD
    for (d = 0; d < width; d++) {
        double change = (double)row[d] - factor * (double)old[d];
        sum[d] += change;
        squares[d] += change * change;
    }
}

EBAGX_INLINE void ebagx_add_change(
    double *sum, double *squares, const float *row, const float *old, double factor, int width)
{
    if (width == EBAGX_COMBINE_STEP)
        ebagx_add_change_of(sum, squares, row, old, factor, EBAGX_COMBINE_STEP);
    else
        ebagx_add_change_of(sum, squares, row, old, factor, width);
}

EBAGX_INLINE void ebagx_restrain_of(
    double *sum, const double *added, const float *before, double count, int width)
{
    int d;
    EBAGX_SIMD
    for (d = 0; d < width; d++) {
        double half = added[d] / 2;
        double own = ((double)before[d] + half / count) + 2.2250738585072014e-308;
        double all = ((double)before[d] + half) + 2.2250738585072014e-308;
        sum[d] *= sqrt(own / all);
    }
}

EBAGX_INLINE void ebagx_restrain(
    double *sum, const double *added, const float *before, double count, int width)
{
    if (width == EBAGX_COMBINE_STEP)
        ebagx_restrain_of(sum, added, before, count, EBAGX_COMBINE_STEP);
    else
        ebagx_restrain_of(sum, added, before, count, width);
}

EBAGX_INLINE void ebagx_set_changed_of(
    float *out, const double *sum, const float *old, double kept, double scale, int width)
{
    int d;
    EBAGX_SIMD
    for (d = 0; d < width; d++) out[d] = (float)(kept * (double)old[d] + scale * sum[d]);
}

EBAGX_INLINE void ebagx_set_changed(
    float *out, const double *sum, const float *old, double kept, double scale, int width)
{
    if (width == EBAGX_COMBINE_STEP)
        ebagx_set_changed_of(out, sum, old, kept, scale, EBAGX_COMBINE_STEP);
    else
        ebagx_set_changed_of(out, sum, old, kept, scale, width);
}

#endif
