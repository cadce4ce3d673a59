/* exp and log are polynomials here, with the same bits on every machine and for every vector width.

   A C library has other bits from version to version. The twins in training_reference.py compute
   the same operations in the same order. Errors are those of float, about 1e-7 of the result. */
#ifndef EBAGX_FUNCTIONS_H
#define EBAGX_FUNCTIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../common/portable.h"
#include "../common/row_ops.h"

/* Masks choose between numbers: of several conditions with ?:, GCC makes branches, and no vectors. */
#define EBAGX_MASK(condition) (0u - (uint32_t)(condition))

EBAGX_INLINE float ebagx_choose(uint32_t mask, float yes, float no)
{
    uint32_t bits = ebagx_bits_from_float(yes) & mask;
    return ebagx_float_from_bits(bits | (ebagx_bits_from_float(no) & ~mask));
}

/* exp(x) is 2^n exp(r) with |r| <= log(2) / 2. An addition of 1.5 * 2^23 rounds x / log(2) to n,
   whose bits are then the low ones. Below -87 the result is 0, above 88 infinity; NaN stays NaN. */
EBAGX_INLINE float ebagx_exp(float x)
{
    uint32_t below = EBAGX_MASK(x < -87.0f), above = EBAGX_MASK(x > 88.0f);
    float within = ebagx_choose(above, 88.0f, ebagx_choose(below, -87.0f, x));
    float shifted, n, r, y;
    shifted = within * 1.44269504f + 12582912.0f;
    n = shifted - 12582912.0f;
    r = (within - n * 0.693359375f) + n * 2.12194440e-4f;
    y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = (y * (r * r) + r) + 1.0f;
    y *= ebagx_float_from_bits((ebagx_bits_from_float(shifted) - 0x4B400000u + 127u) << 23);
    return ebagx_choose(above, INFINITY, ebagx_choose(below, 0.0f, y));
}

/* log(x) of a normal number x = 2^n m is log(m) + n log(2), with m in [sqrt(1/2), sqrt(2)). */
EBAGX_INLINE float ebagx_log(float x)
{
    uint32_t bits = ebagx_bits_from_float(x);
    float n = (float)((int32_t)(bits >> 23) - 126);
    float m = ebagx_float_from_bits((bits & 0x7FFFFF) | 0x3F000000);
    uint32_t small = EBAGX_MASK(m < 0.70710678f);
    float z, y;
    n = ebagx_choose(small, n - 1.0f, n);
    m = ebagx_choose(small, m + m, m) - 1.0f;
    z = m * m;
    y = 7.0376836292e-2f;
    y = y * m - 1.1514610310e-1f;
    y = y * m + 1.1676998740e-1f;
    y = y * m - 1.2420140846e-1f;
    y = y * m + 1.4249322787e-1f;
    y = y * m - 1.6668057665e-1f;
    y = y * m + 2.0000714765e-1f;
    y = y * m - 2.4999993993e-1f;
    y = y * m + 3.3333331174e-1f;
    y = (y * m) * z - n * 2.12194440e-4f;
    y = (m + (y - 0.5f * z)) + n * 0.693359375f;
    return ebagx_choose(EBAGX_MASK(x == x), y, x);
}

/* log(1 + u) of u in [0, 1] is 2 artanh(s) with s = u / (2 + u). */
EBAGX_INLINE float ebagx_log1p(float u)
{
    float s = u / (2.0f + u);
    float z = s * s;
    float y = 6.6666667e-2f;
    y = y * z + 7.6923077e-2f;
    y = y * z + 9.0909091e-2f;
    y = y * z + 1.1111111e-1f;
    y = y * z + 1.4285714e-1f;
    y = y * z + 2.0e-1f;
    y = y * z + 3.3333333e-1f;
    y = y * z + 1.0f;
    return (s + s) * y;
}

/* exp(x) of x <= 0 in double, to its last bits; below -700 it is exp(-700). */
EBAGX_INLINE double ebagx_exp_f64(double x)
{
    double within = x < -700.0 ? -700.0 : x;
    double shifted = within * 1.4426950408889634 + 6755399441055744.0;
    double n = shifted - 6755399441055744.0;
    double r = (within - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double y = 1.6059043836821613e-10, scale;
    uint64_t bits;
    y = y * r + 2.08767569878681e-09;
    y = y * r + 2.505210838544172e-08;
    y = y * r + 2.755731922398589e-07;
    y = y * r + 2.7557319223985893e-06;
    y = y * r + 2.48015873015873e-05;
    y = y * r + 1.984126984126984e-04;
    y = y * r + 1.388888888888889e-03;
    y = y * r + 8.333333333333333e-03;
    y = y * r + 4.1666666666666664e-02;
    y = y * r + 1.6666666666666666e-01;
    y = y * r + 0.5;
    y = (y * (r * r) + r) + 1.0;
    memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits - 0x4338000000000000u + 1023u) << 52;
    memcpy(&scale, &bits, sizeof(scale));
    return y * scale;
}

#endif
