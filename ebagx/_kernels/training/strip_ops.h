/* These loops over strips must vectorise. A strip is a column of a batch's matrix: the numbers of 16
   bags, side by side, so that sums over columns or classes need no order of lanes. */
#ifndef EBAGX_STRIP_OPS_H
#define EBAGX_STRIP_OPS_H

#include <stddef.h>

#include "../common/portable.h"
#include "functions.h"

#define EBAGX_STRIP 16 /* bags */

/* out[r][bag] += sum_i left[r * row + i * step] * right[i][bag], in the order of i */
EBAGX_INLINE void ebagx_add_strip_products(
    float *out, const float *left, ptrdiff_t row, ptrdiff_t step, const float *right,
    ptrdiff_t count, int rows)
{
    float sums[4][EBAGX_STRIP];
    ptrdiff_t i;
    int r, lane;
    EBAGX_UNROLL
    for (r = 0; r < rows; r++) {
        EBAGX_SIMD
        for (lane = 0; lane < EBAGX_STRIP; lane++) sums[r][lane] = out[EBAGX_STRIP * r + lane];
    }
    i = 0;
    do {
        EBAGX_UNROLL
        for (r = 0; r < rows; r++) {
            float factor = left[r * row + i * step];
            EBAGX_SIMD
            for (lane = 0; lane < EBAGX_STRIP; lane++)
                sums[r][lane] += factor * right[EBAGX_STRIP * i + lane];
        }
    } while (++i < count);
    EBAGX_UNROLL
    for (r = 0; r < rows; r++) {
        EBAGX_SIMD
        for (lane = 0; lane < EBAGX_STRIP; lane++) out[EBAGX_STRIP * r + lane] = sums[r][lane];
    }
}

/* out[r][d] = sum_i factors[i * step + r * row] * values[i][d], in the order of i. After each 16 of
   i, the factors go on `skip` numbers later. The sums start from `out` or from 0. */
EBAGX_INLINE void ebagx_outer_products(
    float *out, ptrdiff_t out_row, const float *factors, ptrdiff_t row, ptrdiff_t step,
    ptrdiff_t skip, const float *values, ptrdiff_t value_row, ptrdiff_t count, int goes_on,
    int rows, int width)
{
    float sums[4][EBAGX_STRIP];
    ptrdiff_t i;
    int r, d;
    EBAGX_UNROLL
    for (r = 0; r < rows; r++) {
        EBAGX_SIMD
        for (d = 0; d < width; d++) sums[r][d] = goes_on ? out[r * out_row + d] : 0;
    }
    i = 0;
    do {
        const float *factor = factors + i * step + (i / EBAGX_STRIP) * skip;
        EBAGX_UNROLL
        for (r = 0; r < rows; r++) {
            float one = factor[r * row];
            EBAGX_SIMD
            for (d = 0; d < width; d++) sums[r][d] += one * values[i * value_row + d];
        }
    } while (++i < count);
    EBAGX_UNROLL
    for (r = 0; r < rows; r++) {
        EBAGX_SIMD
        for (d = 0; d < width; d++) out[r * out_row + d] = sums[r][d];
    }
}

/* out[d] = sum_k scales[k] * grad[bags[k]][d], in the order of k, over `width` columns */
EBAGX_INLINE void ebagx_sum_columns(
    float *out, const float *grad, ptrdiff_t grad_row, const int32_t *bags, const float *scales,
    ptrdiff_t count, int width)
{
    float sums[32];
    ptrdiff_t k = 0;
    int d;
    EBAGX_SIMD
    for (d = 0; d < width; d++) sums[d] = 0;
    do {
        const float *row = grad + bags[k] * grad_row;
        float scale = scales[k];
        EBAGX_SIMD
        for (d = 0; d < width; d++) sums[d] += scale * row[d];
    } while (++k < count);
    EBAGX_SIMD
    for (d = 0; d < width; d++) out[d] = sums[d];
}

/* The same over `dim` columns. The last ones may be computed twice. */
EBAGX_INLINE void ebagx_sum_gradients(
    float *out, const float *grad, ptrdiff_t grad_row, const int32_t *bags, const float *scales,
    ptrdiff_t count, ptrdiff_t dim)
{
    ptrdiff_t d = 0;
    if (dim < 8) {
        ebagx_sum_columns(out, grad, grad_row, bags, scales, count, (int)dim);
        return;
    }
    for (; d + 32 <= dim; d += 32)
        ebagx_sum_columns(out + d, grad + d, grad_row, bags, scales, count, 32);
    if (d + 16 <= dim) {
        ebagx_sum_columns(out + d, grad + d, grad_row, bags, scales, count, 16);
        d += 16;
    }
    for (; d < dim; d += 8) {
        d = d + 8 <= dim ? d : dim - 8;
        ebagx_sum_columns(out + d, grad + d, grad_row, bags, scales, count, 8);
    }
}

#define EBAGX_EACH_BAG for (lane = 0; lane < EBAGX_STRIP; lane++)

/* sum += errors[strip][0], the strips one after the other */
EBAGX_INLINE void ebagx_add_strips(
    float *sum, const float *errors, ptrdiff_t strip, ptrdiff_t strips)
{
    ptrdiff_t s;
    int lane;
    for (s = 0; s < strips; s++) {
        EBAGX_SIMD
        EBAGX_EACH_BAG sum[lane] += errors[s * strip + lane];
    }
}

EBAGX_INLINE void ebagx_add_bias(float *strip, float bias)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG strip[lane] += bias;
}

EBAGX_INLINE void ebagx_rectify(float *strip)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG strip[lane] = strip[lane] < 0 ? 0 : strip[lane];
}

/* errors of units that the ReLU has set to 0 become 0 */
EBAGX_INLINE void ebagx_mask_errors(float *error, const float *output)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG error[lane] = output[lane] > 0 ? error[lane] : 0;
}

/* One class of the softmax: the greatest score so far; exp(score - greatest), and its sum; the
   gradient of the loss without that of the true class. */
EBAGX_INLINE void ebagx_take_greatest(float *greatest, const float *score)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG greatest[lane] = score[lane] > greatest[lane] ? score[lane] : greatest[lane];
}

EBAGX_INLINE void ebagx_exp_scores(float *score, float *total, const float *greatest)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG {
        float y = ebagx_exp(score[lane] - greatest[lane]);
        score[lane] = y;
        total[lane] += y;
    }
}

/* The same, of a class that has a weight for each bag. */
EBAGX_INLINE void ebagx_exp_weighted(
    float *score, float *total, const float *greatest, const float *weight)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG {
        float y = ebagx_exp(score[lane] - greatest[lane]) * weight[lane];
        score[lane] = y;
        total[lane] += y;
    }
}

EBAGX_INLINE void ebagx_divide_scores(float *score, const float *total)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG score[lane] /= total[lane];
}

EBAGX_INLINE void ebagx_log_strip(float *value)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG value[lane] = ebagx_log(value[lane]);
}

EBAGX_INLINE void ebagx_scale_strip(float *value, const float *scale)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG value[lane] *= scale[lane];
}

/* One label that is false: log(1 + exp(score)) is its loss, and score becomes the probability. */
EBAGX_INLINE float ebagx_false_label(float *score)
{
    float s = *score;
    uint32_t negative = EBAGX_MASK(s < 0);
    float u = ebagx_exp(ebagx_choose(negative, s, -s));
    *score = ebagx_choose(negative, u, 1.0f) / (1.0f + u);
    return ebagx_choose(negative, 0.0f, s) + ebagx_log1p(u);
}

EBAGX_INLINE void ebagx_sigmoid(float *loss, float *score)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG loss[lane] += ebagx_false_label(&score[lane]);
}

/* The same, of a label that has a weight for each bag. */
EBAGX_INLINE void ebagx_sigmoid_weighted(float *loss, float *score, const float *weight)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG {
        loss[lane] += weight[lane] * ebagx_false_label(&score[lane]);
        score[lane] *= weight[lane];
    }
}

/* One output of the losses of numbers: the score becomes the gradient. */
EBAGX_INLINE void ebagx_squared(float *loss, float *score, const float *target)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG {
        float error = score[lane] - target[lane];
        loss[lane] += 0.5f * (error * error);
        score[lane] = error;
    }
}

EBAGX_INLINE void ebagx_huber(float *loss, float *score, const float *target, float epsilon)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG {
        float error = score[lane] - target[lane];
        float limited = ebagx_choose(EBAGX_MASK(error < -epsilon), -epsilon, error);
        limited = ebagx_choose(EBAGX_MASK(error > epsilon), epsilon, limited);
        loss[lane] += limited * (error - 0.5f * limited);
        score[lane] = limited;
    }
}

EBAGX_INLINE void ebagx_poisson(float *loss, float *score, const float *target)
{
    int lane;
    EBAGX_SIMD
    EBAGX_EACH_BAG {
        float t = target[lane];
        float normal = ebagx_choose(EBAGX_MASK(t < 1.17549435e-38f), 1.17549435e-38f, t);
        float expected = ebagx_exp(score[lane]);
        loss[lane] += (t * ebagx_log(normal) - t * (score[lane] + 1.0f)) + expected;
        score[lane] = expected - t;
    }
}

#endif
