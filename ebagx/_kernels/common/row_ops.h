/* These loops over the columns of one row, or of one block of it, must vectorise.

   They are C because each needs EBAGX_SIMD in front of it. Callers pass `width` as a literal;
   inlined, it is the constant trip count that keeps an accumulator block in vector registers.
   16-bit cells are widened to float first, so operations are for float and double. */
#ifndef EBAGX_ROW_OPS_H
#define EBAGX_ROW_OPS_H

#include <math.h>
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

/* The exponent of a float16 moves by an exact multiplication with 2^112, for subnormals too; inf and
   NaN need their exponent set again. */
EBAGX_INLINE float ebagx_value_f16(uint16_t half)
{
    uint32_t shifted = (uint32_t)(half & 0x7FFF) << 13;
    uint32_t bits = ebagx_bits_from_float(ebagx_float_from_bits(shifted) * 5.192296858534828e33f);
    bits |= shifted >= 0x0F800000 ? 0x7F800000 : 0;
    return ebagx_float_from_bits(bits | (uint32_t)(half & 0x8000) << 16);
}

/* This rounds to nearest, ties to even, as NumPy's astype does. */
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

/* These convert 16-bit floats to float and back. The hardware converts float16 8 times faster
   (18 -> 2.4 ns for 64 columns added), and GCC does not find those instructions by itself. */
#if defined(__F16C__) || (defined(_MSC_VER) && defined(__AVX2__))
#include <immintrin.h>
EBAGX_INLINE void ebagx_widen_f16(float *value, const uint16_t *row, int width)
{
    int d = 0;
#if defined(__AVX512F__) /* else the vector that is added would be read from two that are written */
    for (; d + 16 <= width; d += 16)
        _mm512_storeu_ps(
            value + d, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(row + d))));
#endif
    for (; d + 8 <= width; d += 8)
        _mm256_storeu_ps(value + d, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(row + d))));
    for (; d < width; d++) value[d] = ebagx_value_f16(row[d]);
}

EBAGX_INLINE void ebagx_narrow_f16(uint16_t *row, const float *value, int width)
{
    int d = 0;
#if defined(__AVX512F__)
    EBAGX_UNROLL
    for (; d + 16 <= width; d += 16)
        _mm256_storeu_si256(
            (__m256i *)(row + d), _mm512_cvtps_ph(_mm512_loadu_ps(value + d), 0));
#endif
    EBAGX_UNROLL
    for (; d + 8 <= width; d += 8)
        _mm_storeu_si128((__m128i *)(row + d), _mm256_cvtps_ph(_mm256_loadu_ps(value + d), 0));
    for (; d < width; d++) row[d] = ebagx_cell_f16(value[d]);
}
#else
EBAGX_INLINE void ebagx_widen_f16(float *value, const uint16_t *row, int width)
{
    int d;
    EBAGX_SIMD
    for (d = 0; d < width; d++) value[d] = ebagx_value_f16(row[d]);
}

EBAGX_OUT_OF_LINE void ebagx_narrow_f16(uint16_t *row, const float *value, int width)
{
    int d;
    for (d = 0; d < width; d++) row[d] = ebagx_cell_f16(value[d]);
}
#endif

EBAGX_INLINE void ebagx_widen_bf16(float *value, const int16_t *row, int width)
{
    int d;
    EBAGX_SIMD
    for (d = 0; d < width; d++) value[d] = ebagx_value_bf16(row[d]);
}

EBAGX_OUT_OF_LINE void ebagx_narrow_bf16(int16_t *row, const float *value, int width)
{
    int d;
    for (d = 0; d < width; d++) row[d] = ebagx_cell_bf16(value[d]);
}

/* add:          sum += row
   add_weighted: sum += weight * row
   add_products: sum += left * right
   add_squares:  sum += row^2, in double
   add_lanes:    the 16 partial sums, added in halves: d + 8, d + 4, d + 2, d + 1
   take_greater: best = direction * row and at = position where that is greater; a lane of has_nan
                 is 1 if the row has a NaN in one of its columns. One comparison for each select,
                 of the type that it selects: the form that GCC and clang make branch-free.
                 Branches mispredict, 5 to 10 times slower. One vector after the other: all at
                 once, 32 columns would not stay in registers. */
#define EBAGX_ROW_OPS(TYPE, REAL)                                                                  \
    EBAGX_INLINE void ebagx_add_##TYPE(REAL *sum, const REAL *row, int width)                      \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) sum[d] += row[d];                                              \
    }                                                                                              \
    EBAGX_INLINE void ebagx_add_weighted_##TYPE(                                                   \
        REAL *sum, const REAL *row, REAL weight, int width)                                        \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) sum[d] += weight * row[d];                                     \
    }                                                                                              \
    EBAGX_INLINE void ebagx_add_products_##TYPE(                                                   \
        REAL *sum, const REAL *left, const REAL *right, int width)                                 \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) sum[d] += left[d] * right[d];                                  \
    }                                                                                              \
    EBAGX_INLINE void ebagx_add_squares_##TYPE(double *sum, const REAL *row, int width)            \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) sum[d] += (double)row[d] * (double)row[d];                     \
    }                                                                                              \
    EBAGX_INLINE REAL ebagx_add_lanes_##TYPE(REAL *lanes)                                          \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < 8; d++) lanes[d] += lanes[d + 8];                                          \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < 4; d++) lanes[d] += lanes[d + 4];                                          \
        return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);                                      \
    }                                                                                              \
    EBAGX_INLINE void ebagx_take_greater_lanes_##TYPE(                                             \
        REAL *best, REAL *at, const REAL *row, REAL direction, REAL position, int width)           \
    {                                                                                              \
        REAL value[EBAGX_VECTOR_BYTES / sizeof(REAL)];                                             \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) value[d] = direction * row[d];                                 \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) at[d] = value[d] > best[d] ? position : at[d];                 \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) best[d] = value[d] > best[d] ? value[d] : best[d];             \
    }                                                                                              \
    EBAGX_INLINE void ebagx_note_nan_##TYPE(                                                       \
        REAL *has_nan, const REAL *left, const REAL *right, int width)                             \
    {                                                                                              \
        int d;                                                                                     \
        EBAGX_SIMD                                                                                 \
        for (d = 0; d < width; d++) has_nan[d] = isunordered(left[d], right[d]) ? 1 : has_nan[d];  \
    }                                                                                              \
    EBAGX_INLINE void ebagx_take_greater_##TYPE(                                                   \
        REAL *best, REAL *at, REAL *has_nan, const REAL *row, REAL direction, REAL position,       \
        int width)                                                                                 \
    {                                                                                              \
        const int lanes = EBAGX_VECTOR_BYTES / sizeof(REAL);                                       \
        int c = 0;                                                                                 \
        EBAGX_UNROLL                                                                               \
        for (; c + lanes <= width; c += lanes)                                                     \
            ebagx_take_greater_lanes_##TYPE(best + c, at + c, row + c, direction, position, lanes);\
        ebagx_take_greater_lanes_##TYPE(                                                           \
            best + c, at + c, row + c, direction, position, width - c);                            \
        c = 0;                                                                                     \
        EBAGX_UNROLL                                                                               \
        for (; c + 2 * lanes <= width; c += 2 * lanes)                                             \
            ebagx_note_nan_##TYPE(has_nan, row + c, row + c + lanes, lanes);                       \
        EBAGX_UNROLL                                                                               \
        for (; c + lanes <= width; c += lanes)                                                     \
            ebagx_note_nan_##TYPE(has_nan, row + c, row + c, lanes);                               \
        ebagx_note_nan_##TYPE(has_nan, row + c, row + c, width - c);                               \
    }

EBAGX_ROW_OPS(f32, float)
EBAGX_ROW_OPS(f64, double)

#endif
