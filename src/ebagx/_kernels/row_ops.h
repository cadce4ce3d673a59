/* The loops over the columns of one row, or one block of it: the only ones that must vectorise.

   They are C because each needs EBAGX_SIMD in front of it. Callers pass `width` as a literal;
   inlined, it is the constant trip count that keeps an accumulator block in vector registers.
   Each operation is written once and defined for every type of table cell (see the end). */
#ifndef EBAGX_ROW_OPS_H
#define EBAGX_ROW_OPS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "portable.h"

EBAGX_INLINE float ebagx_float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

EBAGX_INLINE uint32_t ebagx_bits_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* float16: the exponent moves by an exact multiplication with 2^112, for subnormals too; inf and
   NaN need their exponent set again. */
EBAGX_INLINE float ebagx_value_f16(uint16_t half)
{
    uint32_t shifted = (uint32_t)(half & 0x7FFF) << 13;
    uint32_t bits = ebagx_bits_from_float(ebagx_float_from_bits(shifted) * 5.192296858534828e33f);
    bits |= shifted >= 0x0F800000 ? 0x7F800000 : 0;
    return ebagx_float_from_bits(bits | (uint32_t)(half & 0x8000) << 16);
}

/* Rounds to nearest, ties to even, as NumPy's astype. */
EBAGX_INLINE uint16_t ebagx_cell_f16(float value)
{
    uint32_t bits = ebagx_bits_from_float(value);
    uint32_t sign = (bits >> 16) & 0x8000;
    uint32_t size = bits & 0x7FFFFFFF;
    if (size > 0x7F800000) return (uint16_t)(sign | 0x7E00);  /* NaN */
    if (size >= 0x477FF000) return (uint16_t)(sign | 0x7C00); /* 65520 and above round to inf */
    if (size < 0x38800000) { /* below 2^-14: let an addition round to a multiple of 2^-24 */
        size = ebagx_bits_from_float(ebagx_float_from_bits(size) + 0.5f) - 0x3F000000;
        return (uint16_t)(sign | size);
    }
    return (uint16_t)(sign | ((size - 0x38000000 + 0xFFF + ((size >> 13) & 1)) >> 13));
}

EBAGX_INLINE float ebagx_value_bf16(int16_t bits)
{
    return ebagx_float_from_bits((uint32_t)(uint16_t)bits << 16);
}

EBAGX_INLINE int16_t ebagx_cell_bf16(float value)
{
    uint32_t bits = ebagx_bits_from_float(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (int16_t)((bits >> 16) | 0x40); /* NaN */
    return (int16_t)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

EBAGX_INLINE float ebagx_value_f32(float cell) { return cell; }
EBAGX_INLINE float ebagx_cell_f32(float value) { return value; }
EBAGX_INLINE double ebagx_value_f64(double cell) { return cell; }
EBAGX_INLINE double ebagx_cell_f64(double value) { return value; }

/* add:          sum += row
   add_weighted: sum += weight * row
   take_greater: best = direction * row and at = position where that is greater; has_nan = 1 where
                 it is NaN. One comparison for each select, of the type that it selects: the form
                 that GCC and clang make branch-free. Branches mispredict, 5 to 10 times slower.
   adagrad:      squares += grad^2, row -= rate * grad / (sqrt(squares) + eps) */
#define EBAGX_ROW_OPS(TYPE, CELL, REAL, SQRT)                                                      \
    EBAGX_INLINE void ebagx_add_##TYPE(REAL *sum, const CELL *row, int width)                      \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) sum[d] += ebagx_value_##TYPE(row[d]);                          \
    }                                                                                              \
    EBAGX_INLINE void ebagx_add_weighted_##TYPE(                                                   \
        REAL *sum, const CELL *row, REAL weight, int width)                                        \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) sum[d] += weight * ebagx_value_##TYPE(row[d]);                 \
    }                                                                                              \
    EBAGX_INLINE void ebagx_take_greater_##TYPE(                                                   \
        REAL *best, REAL *at, REAL *has_nan, const CELL *row, REAL direction, REAL position,       \
        int width)                                                                                 \
    {                                                                                              \
        REAL value[EBAGX_MAX_BLOCK];                                                               \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) value[d] = direction * ebagx_value_##TYPE(row[d]);             \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) at[d] = value[d] > best[d] ? position : at[d];                 \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) best[d] = value[d] > best[d] ? value[d] : best[d];             \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) has_nan[d] = value[d] == value[d] ? has_nan[d] : (REAL)1;      \
    }                                                                                              \
    EBAGX_INLINE void ebagx_adagrad_##TYPE(                                                        \
        CELL *row, REAL *squares, const REAL *grad, REAL rate, REAL eps, ptrdiff_t dim)            \
    {                                                                                              \
        ptrdiff_t d;                                                                               \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < dim; d++) {                                                                \
            REAL sum = squares[d] + grad[d] * grad[d];                                             \
            REAL step = rate * grad[d] / (SQRT(sum) + eps);                                        \
            squares[d] = sum;                                                                      \
            row[d] = ebagx_cell_##TYPE(ebagx_value_##TYPE(row[d]) - step);                         \
        }                                                                                          \
    }

EBAGX_ROW_OPS(f32, float, float, sqrtf)
EBAGX_ROW_OPS(f64, double, double, sqrt)
EBAGX_ROW_OPS(f16, uint16_t, float, sqrtf)
EBAGX_ROW_OPS(bf16, int16_t, float, sqrtf)

#endif
