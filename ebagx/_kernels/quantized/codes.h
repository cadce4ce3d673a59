/* Rows of codes: these loops turn the codes of a block of columns into values and add them.

   A row has codes of 8, 4 or 2 bits, a scale and a bias: value = (float)(scale * code) + bias. Both
   operations round; where all products are exact, one fused operation has the same result.
   Codes of a byte lie side by side, low bits first.

   A block is some chunks of EBAGX_CHUNK bytes. Position p of the bytes of chunk c goes to its own
   vector of numbers, number c * (8 / bits) + p: that needs no shuffles. `ebagx_sort_columns` brings
   the columns into their order once a bag.

   The last chunk ends with the block: it may start within the chunk before, and some columns are
   computed twice. Of a block shorter than a chunk, AVX-512 masks the rest; else it is copied.

   Callers pass `bits`, `chunks` and flags as literals: inlined, vectors stay in registers. Of 4 or
   2 bits, the 16 or 4 values are computed once a row, and a permutation looks up all columns. */
#ifndef EBAGX_CODES_H
#define EBAGX_CODES_H

#include "common/row_ops.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
#define EBAGX_HAS_SSE
#endif

#if defined(__AVX512F__)
#define EBAGX_CHUNK 16
#else
#define EBAGX_CHUNK 8
#endif
/* Where instructions bound the loops, they are compiled for float and float16 constants each. */
#if defined(__AVX512F__)
#define EBAGX_HAS_LITERAL_HALF 1
#else
#define EBAGX_HAS_LITERAL_HALF 0
#endif
#define EBAGX_CODE_VECTORS 8 /* of one block; more are no faster */
#define EBAGX_CODE_COLUMNS (EBAGX_CHUNK * EBAGX_CODE_VECTORS)

/* Codes of fewer bits than these are looked up among values that have the weight already. */
#if defined(__AVX512F__)
#define EBAGX_COMPUTED_BITS 8
#elif defined(__AVX2__)
#define EBAGX_COMPUTED_BITS 4
#else
#define EBAGX_COMPUTED_BITS 2
#endif

/* One rounding or two are the same code where there are no fused operations. */
#if defined(__AVX2__)
#define EBAGX_HAS_FUSED 1
#else
#define EBAGX_HAS_FUSED 0
#endif
/* Code for each number of chunks has 60 kB, which x86-64 processors without AVX2 are not worth. */
#if (defined(__x86_64__) || defined(_M_X64)) && !defined(__AVX2__)
#define EBAGX_HAS_LITERAL_CHUNKS 0
#else
#define EBAGX_HAS_LITERAL_CHUNKS 1
#endif

/* The code bytes of a block: `size` of them, and where the last chunk starts. */
typedef struct {
    int size;
    int tail;
    int rest; /* bytes of the last chunk that no chunk before has */
} ebagx_span;

EBAGX_INLINE ebagx_span ebagx_span_of(int size, int chunks)
{
    ebagx_span span;
    span.size = size;
    span.rest = size - (chunks - 1) * EBAGX_CHUNK;
    span.tail = chunks > 1 ? size - EBAGX_CHUNK : 0;
    return span;
}

/* Copies up to 7 bytes: some rows have fewer than a chunk, and the table may end with them. */
EBAGX_INLINE void ebagx_copy_few(uint8_t *few, const uint8_t *codes, int count)
{
    int done = 0;
    if (count & 4) {
        memcpy(few, codes, 4);
        done = 4;
    }
    if (count & 2) {
        memcpy(few + done, codes + done, 2);
        done += 2;
    }
    if (count & 1) few[done] = codes[done];
}

#if defined(__AVX512F__)

#define EBAGX_CODE_INTS __m512i

/* With this added, a code of 8 bits is the second byte of a float: a shuffle makes the float, and no
   conversion. 16 columns then take three operations (shuffle, multiply and add, add to the sum) and
   not four, so that a row of 64 takes 2.5 ns and not 3.1 on a Sapphire Rapids. */
#define EBAGX_RAISED 32768.0f

/* Returns floats of codes, raised, as their bits. */
EBAGX_INLINE __m512i ebagx_raise_codes(__m128i bytes)
{
    const __m512i columns = _mm512_setr_epi32(
        0x0000, 0x0100, 0x0200, 0x0300, 0x0400, 0x0500, 0x0600, 0x0700,
        0x0800, 0x0900, 0x0A00, 0x0B00, 0x0C00, 0x0D00, 0x0E00, 0x0F00);
    const __m512i raised = _mm512_castps_si512(_mm512_set1_ps(EBAGX_RAISED));
    return _mm512_mask_shuffle_epi8(
        raised, 0x2222222222222222, _mm512_broadcast_i32x4(bytes), columns);
}

EBAGX_INLINE __m512i ebagx_load_codes(
    const uint8_t *codes, int c, int chunks, ebagx_span span, int bits, int is_exact)
{
    const uint8_t *chunk = codes + (c + 1 < chunks ? c * EBAGX_CHUNK : span.tail);
    __m128i bytes;
    if (chunks > 1 || span.rest == EBAGX_CHUNK) /* a masked load takes one more operation */
        bytes = _mm_loadu_si128((const __m128i *)chunk);
    else
        bytes = _mm_maskz_loadu_epi8((__mmask16)((1u << span.rest) - 1), chunk);
    return bits == 8 && is_exact ? ebagx_raise_codes(bytes) : _mm512_cvtepu8_epi32(bytes);
}

/* The numbers of a row. With fewer than 8 bits, `scale` has the values of all codes, times the
   weight, in place of it. With 8 bits, `bias` is that of raised codes if they are. */
typedef struct {
    __m512 scale;
    __m512 bias;
    __m512 weight;
} ebagx_line;

EBAGX_INLINE ebagx_line ebagx_line_at(
    const char *constants, int is_half, float weight, int bits, int is_weighted, int is_exact)
{
    ebagx_line line;
    if (is_half) {
        int32_t pair;
        __m512 pairs;
        memcpy(&pair, constants, sizeof(pair));
        pairs = _mm512_cvtph_ps(_mm256_set1_epi32(pair));
        line.scale = _mm512_moveldup_ps(pairs);
        line.bias = _mm512_movehdup_ps(pairs);
    } else {
        float pair[2];
        memcpy(pair, constants, sizeof(pair));
        line.scale = _mm512_set1_ps(pair[0]);
        line.bias = _mm512_set1_ps(pair[1]);
    }
    line.weight = _mm512_set1_ps(weight);
    if (bits < 8) {
        const __m512 codes = bits == 4
            ? _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
            : _mm512_setr_ps(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
        /* A scale of 16 bits makes exact products, so that one rounding is the same as two. */
        line.scale = is_half ? _mm512_fmadd_ps(line.scale, codes, line.bias)
                             : _mm512_add_ps(_mm512_mul_ps(line.scale, codes), line.bias);
        if (is_weighted) line.scale = _mm512_mul_ps(line.scale, line.weight);
    } else if (is_exact) { /* this is not rounded */
        line.bias = _mm512_fnmadd_ps(_mm512_set1_ps(EBAGX_RAISED), line.scale, line.bias);
    }
    return line;
}

EBAGX_INLINE __m512 ebagx_code_values(
    __m512i codes, int position, ebagx_line line, int bits, int is_weighted, int is_exact)
{
    __m512 value;
    __m512i shifted = position ? _mm512_srli_epi32(codes, position * bits) : codes;
    /* Higher bits of the codes have no effect. */
    if (bits == 4) return _mm512_permutexvar_ps(shifted, line.scale);
    if (bits == 2) return _mm512_permutevar_ps(line.scale, shifted);
    if (is_exact) /* one rounding is the same as two */
        value = _mm512_fmadd_ps(_mm512_castsi512_ps(codes), line.scale, line.bias);
    else
        value = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(codes), line.scale), line.bias);
    return is_weighted ? _mm512_mul_ps(value, line.weight) : value;
}

EBAGX_INLINE void ebagx_put(float *out, __m512 value, int adds)
{
    _mm512_storeu_ps(out, adds ? _mm512_add_ps(_mm512_loadu_ps(out), value) : value);
}

#elif defined(__AVX2__)

#define EBAGX_CODE_INTS __m256i

EBAGX_INLINE __m256i ebagx_load_codes(
    const uint8_t *codes, int c, int chunks, ebagx_span span, int bits, int is_exact)
{
    const uint8_t *chunk = codes + (c + 1 < chunks ? c * EBAGX_CHUNK : span.tail);
    uint8_t few[8] = {0};
    (void)bits;
    (void)is_exact;
    if (chunks == 1 && span.rest < EBAGX_CHUNK) {
        ebagx_copy_few(few, codes, span.rest);
        chunk = few;
    }
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)chunk));
}

typedef struct {
    __m256 scale;
    __m256 bias;
    __m256 weight;
} ebagx_line;

EBAGX_INLINE ebagx_line ebagx_line_at(
    const char *constants, int is_half, float weight, int bits, int is_weighted, int is_exact)
{
    ebagx_line line;
    (void)is_exact;
    if (is_half) {
        int32_t pair;
        __m256 pairs;
        memcpy(&pair, constants, sizeof(pair));
        pairs = _mm256_cvtph_ps(_mm_set1_epi32(pair));
        line.scale = _mm256_moveldup_ps(pairs);
        line.bias = _mm256_movehdup_ps(pairs);
    } else {
        float pair[2];
        memcpy(pair, constants, sizeof(pair));
        line.scale = _mm256_set1_ps(pair[0]);
        line.bias = _mm256_set1_ps(pair[1]);
    }
    line.weight = _mm256_set1_ps(weight);
    if (bits == 2) {
        const __m256 codes = _mm256_setr_ps(0, 1, 2, 3, 0, 1, 2, 3);
        line.scale = is_half ? _mm256_fmadd_ps(line.scale, codes, line.bias)
                             : _mm256_add_ps(_mm256_mul_ps(line.scale, codes), line.bias);
        if (is_weighted) line.scale = _mm256_mul_ps(line.scale, line.weight);
    }
    return line;
}

EBAGX_INLINE __m256 ebagx_code_values(
    __m256i codes, int position, ebagx_line line, int bits, int is_weighted, int is_exact)
{
    __m256 value;
    __m256i shifted = position ? _mm256_srli_epi32(codes, position * bits) : codes;
    if (bits == 2) return _mm256_permutevar_ps(line.scale, shifted);
    if (bits == 4 && position == 0) shifted = _mm256_and_si256(codes, _mm256_set1_epi32(15));
    value = _mm256_cvtepi32_ps(shifted);
    value = is_exact ? _mm256_fmadd_ps(value, line.scale, line.bias)
                    : _mm256_add_ps(_mm256_mul_ps(value, line.scale), line.bias);
    return is_weighted ? _mm256_mul_ps(value, line.weight) : value;
}

EBAGX_INLINE void ebagx_put(float *out, __m256 value, int adds)
{
    _mm256_storeu_ps(out, adds ? _mm256_add_ps(_mm256_loadu_ps(out), value) : value);
}

#else

typedef struct {
    float scale;
    float bias;
    float weight;
} ebagx_line;

EBAGX_INLINE ebagx_line ebagx_line_at(
    const char *constants, int is_half, float weight, int bits, int is_weighted, int is_exact)
{
    ebagx_line line;
    (void)bits;
    (void)is_weighted;
    (void)is_exact;
    line.weight = weight;
    if (is_half) {
        uint16_t pair[2];
        memcpy(pair, constants, sizeof(pair));
        line.scale = ebagx_value_f16(pair[0]);
        line.bias = ebagx_value_f16(pair[1]);
    } else {
        float pair[2];
        memcpy(pair, constants, sizeof(pair));
        line.scale = pair[0];
        line.bias = pair[1];
    }
    return line;
}

#endif

/* Adds a row's values of one block, times its weight if `is_weighted`, to sums, or stores them. */
#if defined(EBAGX_CODE_INTS)
EBAGX_INLINE void ebagx_put_codes(
    float *out, const uint8_t *codes, ebagx_span span, ebagx_line line, int bits, int chunks,
    int is_weighted, int is_exact, int adds)
{
    const int places = 8 / bits;
    int c, p;
    EBAGX_COMPUTE(codes);
    EBAGX_UNROLL
    for (c = 0; c < chunks; c++) {
        EBAGX_CODE_INTS ints = ebagx_load_codes(codes, c, chunks, span, bits, is_exact);
        EBAGX_UNROLL
        for (p = 0; p < places; p++)
            ebagx_put(
                out + (c * places + p) * EBAGX_CHUNK,
                ebagx_code_values(ints, p, line, bits, is_weighted, is_exact), adds);
    }
}
#else
EBAGX_INLINE void ebagx_put_codes(
    float *out, const uint8_t *codes, ebagx_span span, ebagx_line line, int bits, int chunks,
    int is_weighted, int is_exact, int adds)
{
    const int places = 8 / bits;
    const uint8_t *chunk;
    uint8_t few[8] = {0};
    int c, p, i;
    (void)is_exact;
    EBAGX_UNROLL
    for (c = 0; c < chunks; c++) {
        chunk = codes + (c + 1 < chunks ? c * EBAGX_CHUNK : span.tail);
        if (chunks == 1 && span.rest < EBAGX_CHUNK) {
            ebagx_copy_few(few, codes, span.rest);
            chunk = few;
        }
        EBAGX_UNROLL
        for (p = 0; p < places; p++) {
            float *to = out + (c * places + p) * EBAGX_CHUNK;
            EBAGX_SIMD
            for (i = 0; i < EBAGX_CHUNK; i++) {
                int code = (chunk[i] >> (p * bits)) & ((1 << bits) - 1);
                float value = line.scale * (float)code + line.bias;
                if (is_weighted) value *= line.weight;
                to[i] = adds ? to[i] + value : value;
            }
        }
    }
}
#endif

/* Four vectors become columns side by side. */
#if defined(__AVX512F__)
EBAGX_INLINE void ebagx_sort_fours(float *out, const float *from)
{
    __m512 a = _mm512_loadu_ps(from), b = _mm512_loadu_ps(from + 16);
    __m512 c = _mm512_loadu_ps(from + 32), d = _mm512_loadu_ps(from + 48);
    /* Transposed, each quarter of these has four columns that are side by side, ... */
    __m512 ab = _mm512_unpacklo_ps(a, b), cd = _mm512_unpacklo_ps(c, d);
    __m512 first = _mm512_shuffle_ps(ab, cd, 0x44), second = _mm512_shuffle_ps(ab, cd, 0xEE);
    __m512 third, fourth;
    ab = _mm512_unpackhi_ps(a, b);
    cd = _mm512_unpackhi_ps(c, d);
    third = _mm512_shuffle_ps(ab, cd, 0x44);
    fourth = _mm512_shuffle_ps(ab, cd, 0xEE);
    /* ... and quarters are transposed, too. */
    a = _mm512_shuffle_f32x4(first, second, 0x88); /* quarters 0 and 2 of both */
    b = _mm512_shuffle_f32x4(third, fourth, 0x88);
    c = _mm512_shuffle_f32x4(first, second, 0xDD); /* 1 and 3 */
    d = _mm512_shuffle_f32x4(third, fourth, 0xDD);
    _mm512_storeu_ps(out, _mm512_shuffle_f32x4(a, b, 0x88));
    _mm512_storeu_ps(out + 16, _mm512_shuffle_f32x4(c, d, 0x88));
    _mm512_storeu_ps(out + 32, _mm512_shuffle_f32x4(a, b, 0xDD));
    _mm512_storeu_ps(out + 48, _mm512_shuffle_f32x4(c, d, 0xDD));
}
#else
EBAGX_INLINE void ebagx_sort_fours(float *out, const float *from)
{
    int i = 0;
#if defined(EBAGX_HAS_SSE) /* GCC makes single inserts of a loop */
    for (; i < EBAGX_CHUNK; i += 4) {
        __m128 a = _mm_loadu_ps(from + i);
        __m128 b = _mm_loadu_ps(from + EBAGX_CHUNK + i);
        __m128 c = _mm_loadu_ps(from + 2 * EBAGX_CHUNK + i);
        __m128 d = _mm_loadu_ps(from + 3 * EBAGX_CHUNK + i);
        _MM_TRANSPOSE4_PS(a, b, c, d);
        _mm_storeu_ps(out + 4 * i, a);
        _mm_storeu_ps(out + 4 * i + 4, b);
        _mm_storeu_ps(out + 4 * i + 8, c);
        _mm_storeu_ps(out + 4 * i + 12, d);
    }
#else
    int p;
    for (; i < EBAGX_CHUNK; i++)
        for (p = 0; p < 4; p++) out[4 * i + p] = from[p * EBAGX_CHUNK + i];
#endif
}
#endif

/* Writes the vectors of a block in the order of the columns. The last chunk comes last: of columns
   that two chunks have, both have the same numbers. */
EBAGX_INLINE void ebagx_sort_columns(
    float *out, const float *vectors, ebagx_span span, int bits, int chunks)
{
    const int places = 8 / bits;
    int c, p, i;
    for (c = 0; c < chunks; c++) {
        float *to = out + (c + 1 < chunks ? c * EBAGX_CHUNK : span.tail) * places;
        const float *from = vectors + c * places * EBAGX_CHUNK;
        if (places == 4)
            ebagx_sort_fours(to, from);
        else
            for (i = 0; i < EBAGX_CHUNK; i++)
                for (p = 0; p < places; p++) to[i * places + p] = from[p * EBAGX_CHUNK + i];
    }
}

/* Writes sums divided by the divisor. GCC makes `rep movs` of a short memcpy: a slow start. */
EBAGX_INLINE void ebagx_divide(float *out, const float *sum, float divisor, int count)
{
    int d;
    if (divisor == 1) {
        EBAGX_SIMD
        for (d = 0; d < count; d++) out[d] = sum[d];
    } else {
        EBAGX_SIMD
        for (d = 0; d < count; d++) out[d] = sum[d] / divisor;
    }
}

#endif
