/* Rows of codes: these loops turn the codes of a block of columns into values, and add or store them.

   A row has codes of 8, 4 or 2 bits, a scale and a bias: value = (float)(scale * code) + bias. Both
   operations round. Codes of a byte lie side by side, low bits first.

   A block is some chunks of EBAGX_CHUNK bytes. Position p of the bytes of chunk c goes to its own
   vector of numbers, number c * (8 / bits) + p: that needs no shuffles. `ebagx_sort_columns` brings
   the columns into their order once a bag.

   The last chunk is the rest of the block. AVX-512 masks what is outside of the row. Else the chunk
   starts earlier, and some columns are computed twice; rows shorter than a chunk are copied.

   Callers pass `bits`, `chunks` and flags as literals: inlined, vectors stay in registers. Portable
   C reaches 0.6 to 0.8 of the speed of what is here for 8 bits, and half of it for 4 and 2 bits: 16
   or 4 values are computed once a row, and a permutation looks up all columns. */
#ifndef EBAGX_CODES_H
#define EBAGX_CODES_H

#include "common/row_ops.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define EBAGX_CHUNK 16
#else
#define EBAGX_CHUNK 8
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

/* The code bytes of a block: `size` of them, and where the last chunk starts. */
typedef struct {
    int size;
    int tail;
    int rest; /* bytes of the last chunk that no chunk before has */
} ebagx_span;

/* The numbers of one row. */
typedef struct {
    float scale;
    float bias;
    float weight;
} ebagx_line;

EBAGX_INLINE ebagx_span ebagx_span_of(int size, int chunks)
{
    ebagx_span span;
    span.size = size;
    span.rest = size - (chunks - 1) * EBAGX_CHUNK;
    span.tail = (chunks - 1) * EBAGX_CHUNK;
#if !defined(__AVX512F__)
    if (chunks > 1) span.tail = size - EBAGX_CHUNK;
#endif
    return span;
}

/* Scale and bias may have any address. */
EBAGX_INLINE ebagx_line ebagx_line_at(const char *constants, int is_half, float weight)
{
    ebagx_line line;
    line.weight = weight;
    if (is_half) {
#if defined(__F16C__) || (defined(_MSC_VER) && defined(__AVX2__))
        int32_t pair;
        __m128 values;
        memcpy(&pair, constants, sizeof(pair));
        values = _mm_cvtph_ps(_mm_cvtsi32_si128(pair));
        line.scale = _mm_cvtss_f32(values);
        line.bias = _mm_cvtss_f32(_mm_movehdup_ps(values));
#else
        uint16_t pair[2];
        memcpy(pair, constants, sizeof(pair));
        line.scale = ebagx_value_f16(pair[0]);
        line.bias = ebagx_value_f16(pair[1]);
#endif
    } else {
        float pair[2];
        memcpy(pair, constants, sizeof(pair));
        line.scale = pair[0];
        line.bias = pair[1];
    }
    return line;
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

#define EBAGX_CODE_VECTOR __m512
#define EBAGX_CODE_INTS __m512i

EBAGX_INLINE __m512i ebagx_load_codes(const uint8_t *codes, int c, int chunks, ebagx_span span)
{
    __m128i bytes;
    if (c + 1 < chunks)
        bytes = _mm_loadu_si128((const __m128i *)(codes + c * EBAGX_CHUNK));
    else
        bytes = _mm_maskz_loadu_epi8(
            (__mmask16)((1u << span.rest) - 1), codes + c * EBAGX_CHUNK);
    return _mm512_cvtepu8_epi32(bytes);
}

/* Returns the values of all codes, or the scale, the bias and the weight as vectors. */
typedef struct {
    __m512 values;
    __m512 bias;
    __m512 weight;
} ebagx_vectors;

EBAGX_INLINE ebagx_vectors ebagx_vectors_of(ebagx_line line, int bits)
{
    ebagx_vectors vectors;
    __m512 scale = _mm512_set1_ps(line.scale);
    vectors.bias = _mm512_set1_ps(line.bias);
    vectors.weight = _mm512_set1_ps(line.weight);
    vectors.values = scale;
    if (bits < 8) {
        const __m512 codes = bits == 4
            ? _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
            : _mm512_setr_ps(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
        vectors.values = _mm512_mul_ps(
            _mm512_add_ps(_mm512_mul_ps(scale, codes), vectors.bias), vectors.weight);
    }
    return vectors;
}

EBAGX_INLINE __m512 ebagx_code_values(
    __m512i codes, int position, ebagx_vectors vectors, int bits, int is_weighted, int is_half)
{
    __m512 value;
    __m512i shifted = position ? _mm512_srli_epi32(codes, position * bits) : codes;
    /* Higher bits of the codes have no effect. */
    if (bits == 4) return _mm512_permutexvar_ps(shifted, vectors.values);
    if (bits == 2) return _mm512_permutevar_ps(vectors.values, shifted);
    value = _mm512_cvtepi32_ps(codes);
    /* The product of 8 and 11 bits is exact, so that one rounding is the same as two. */
    value = is_half ? _mm512_fmadd_ps(value, vectors.values, vectors.bias)
                    : _mm512_add_ps(_mm512_mul_ps(value, vectors.values), vectors.bias);
    return is_weighted ? _mm512_mul_ps(value, vectors.weight) : value;
}

EBAGX_INLINE void ebagx_put(float *out, __m512 value, int adds)
{
    _mm512_storeu_ps(out, adds ? _mm512_add_ps(_mm512_loadu_ps(out), value) : value);
}

#elif defined(__AVX2__)

#define EBAGX_CODE_VECTOR __m256
#define EBAGX_CODE_INTS __m256i

EBAGX_INLINE __m256i ebagx_load_codes(const uint8_t *codes, int c, int chunks, ebagx_span span)
{
    const uint8_t *chunk = codes + (c + 1 < chunks ? c * EBAGX_CHUNK : span.tail);
    uint8_t few[8] = {0};
    if (chunks == 1 && span.rest < EBAGX_CHUNK) {
        ebagx_copy_few(few, codes, span.rest);
        chunk = few;
    }
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)chunk));
}

typedef struct {
    __m256 values;
    __m256 bias;
    __m256 weight;
} ebagx_vectors;

EBAGX_INLINE ebagx_vectors ebagx_vectors_of(ebagx_line line, int bits)
{
    ebagx_vectors vectors;
    __m256 scale = _mm256_set1_ps(line.scale);
    vectors.bias = _mm256_set1_ps(line.bias);
    vectors.weight = _mm256_set1_ps(line.weight);
    vectors.values = scale;
    if (bits == 2) {
        const __m256 codes = _mm256_setr_ps(0, 1, 2, 3, 0, 1, 2, 3);
        vectors.values = _mm256_mul_ps(
            _mm256_add_ps(_mm256_mul_ps(scale, codes), vectors.bias), vectors.weight);
    }
    return vectors;
}

EBAGX_INLINE __m256 ebagx_code_values(
    __m256i codes, int position, ebagx_vectors vectors, int bits, int is_weighted, int is_half)
{
    __m256 value;
    __m256i shifted = position ? _mm256_srli_epi32(codes, position * bits) : codes;
    if (bits == 2) return _mm256_permutevar_ps(vectors.values, shifted);
    if (bits == 4 && position == 0) shifted = _mm256_and_si256(codes, _mm256_set1_epi32(15));
    value = _mm256_cvtepi32_ps(shifted);
    /* The product of 8 and 11 bits is exact, so that one rounding is the same as two. */
    value = is_half ? _mm256_fmadd_ps(value, vectors.values, vectors.bias)
                    : _mm256_add_ps(_mm256_mul_ps(value, vectors.values), vectors.bias);
    return is_weighted ? _mm256_mul_ps(value, vectors.weight) : value;
}

EBAGX_INLINE void ebagx_put(float *out, __m256 value, int adds)
{
    _mm256_storeu_ps(out, adds ? _mm256_add_ps(_mm256_loadu_ps(out), value) : value);
}

#endif

/* Adds a row's values of one block, times its weight, to sums, or stores them. Without
   `is_weighted`, the weight must be 1. */
#if defined(EBAGX_CODE_VECTOR)
EBAGX_INLINE void ebagx_put_codes(
    float *out, const uint8_t *codes, ebagx_span span, ebagx_line line, int bits, int chunks,
    int is_weighted, int is_half, int adds)
{
    const int places = 8 / bits;
    ebagx_vectors vectors = ebagx_vectors_of(line, bits);
    int c, p;
    EBAGX_UNROLL
    for (c = 0; c < chunks; c++) {
        EBAGX_CODE_INTS ints = ebagx_load_codes(codes, c, chunks, span);
        EBAGX_UNROLL
        for (p = 0; p < places; p++)
            ebagx_put(
                out + (c * places + p) * EBAGX_CHUNK,
                ebagx_code_values(ints, p, vectors, bits, is_weighted, is_half), adds);
    }
}
#else
EBAGX_INLINE void ebagx_put_codes(
    float *out, const uint8_t *codes, ebagx_span span, ebagx_line line, int bits, int chunks,
    int is_weighted, int is_half, int adds)
{
    const int places = 8 / bits;
    const uint8_t *chunk;
    uint8_t few[8] = {0};
    int c, p, i;
    (void)is_half;
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
        for (i = 0; i < EBAGX_CHUNK; i++)
            for (p = 0; p < places; p++) to[i * places + p] = from[p * EBAGX_CHUNK + i];
    }
}

#endif
