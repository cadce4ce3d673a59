/* These loops of step.pxi, over one block of a row, must vectorise. */
#ifndef EBAGX_STEP_OPS_H
#define EBAGX_STEP_OPS_H

#include <math.h>

#include "../common/portable.h"

/* scale:    row *= scale
   decayed:  out = grad + decay * row
   sgd:      row -= rate * grad
   momentum: v = momentum * v + grad, row -= rate * v
   nesterov: v = momentum * v + grad, row -= rate * (grad + momentum * v)
   adagrad:  squares += grad^2, row -= rate * grad / (sqrt(squares) + eps)
   adam:     mean += first * (grad - mean), squares += second * (grad^2 - squares),
             row -= rate * mean / (sqrt(squares) + eps) */
#define EBAGX_STEP_OPS(TYPE, REAL, SQRT)                                                           \
    EBAGX_INLINE void ebagx_scale_##TYPE(REAL *row, REAL scale, int width)                         \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) row[d] *= scale;                                               \
    }                                                                                              \
    EBAGX_INLINE void ebagx_decayed_##TYPE(                                                        \
        REAL *out, const REAL *grad, const REAL *row, REAL decay, int width)                       \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) out[d] = grad[d] + decay * row[d];                             \
    }                                                                                              \
    EBAGX_INLINE void ebagx_sgd_##TYPE(REAL *row, const REAL *grad, REAL rate, int width)          \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) row[d] -= rate * grad[d];                                      \
    }                                                                                              \
    EBAGX_INLINE void ebagx_momentum_##TYPE(                                                       \
        REAL *row, REAL *velocity, const REAL *grad, REAL rate, REAL momentum, int width)          \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) {                                                              \
            velocity[d] = momentum * velocity[d] + grad[d];                                        \
            row[d] -= rate * velocity[d];                                                          \
        }                                                                                          \
    }                                                                                              \
    EBAGX_INLINE void ebagx_nesterov_##TYPE(                                                       \
        REAL *row, REAL *velocity, const REAL *grad, REAL rate, REAL momentum, int width)          \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) {                                                              \
            velocity[d] = momentum * velocity[d] + grad[d];                                        \
            row[d] -= rate * (grad[d] + momentum * velocity[d]);                                   \
        }                                                                                          \
    }                                                                                              \
    EBAGX_INLINE void ebagx_adagrad_##TYPE(                                                        \
        REAL *row, REAL *squares, const REAL *grad, REAL rate, REAL eps, int width)                \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) {                                                              \
            REAL sum = squares[d] + grad[d] * grad[d];                                             \
            row[d] -= rate * grad[d] / (SQRT(sum) + eps);                                          \
            squares[d] = sum;                                                                      \
        }                                                                                          \
    }                                                                                              \
    EBAGX_INLINE void ebagx_adam_##TYPE(                                                           \
        REAL *row, REAL *mean, REAL *squares, const REAL *grad, REAL rate, REAL first,             \
        REAL second, REAL eps, int width)                                                          \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) {                                                              \
            REAL m = mean[d] + first * (grad[d] - mean[d]);                                        \
            REAL v = squares[d] + second * (grad[d] * grad[d] - squares[d]);                       \
            row[d] -= rate * m / (SQRT(v) + eps);                                                  \
            mean[d] = m;                                                                           \
            squares[d] = v;                                                                        \
        }                                                                                          \
    }

EBAGX_STEP_OPS(f32, float, sqrtf)
EBAGX_STEP_OPS(f64, double, sqrt)

#endif
