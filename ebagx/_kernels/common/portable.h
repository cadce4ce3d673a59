/* Macros stand for what plain C cannot say portably: prefetch, inlining, vectorising, block sizes. */
#ifndef EBAGX_PORTABLE_H
#define EBAGX_PORTABLE_H

/* Addresses are numbers: a pointer may not leave its array, not even to be prefetched. */
#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <intrin.h>
#define EBAGX_PREFETCH(address) _mm_prefetch((const char *)(address), _MM_HINT_T0)
#define EBAGX_PREFETCH_WRITTEN(address) _m_prefetchw((const void *)(address))
#elif defined(_MSC_VER)
#include <intrin.h>
#define EBAGX_PREFETCH(address) __prefetch((const void *)(address))
#define EBAGX_PREFETCH_WRITTEN(address) EBAGX_PREFETCH(address)
#else
#define EBAGX_PREFETCH(address) __builtin_prefetch((const void *)(address), 0, 3)
#define EBAGX_PREFETCH_WRITTEN(address) __builtin_prefetch((const void *)(address), 1, 3)
#endif

/* This keeps a branch that is not taken from becoming instructions that are always run. */
#if defined(_MSC_VER)
#define EBAGX_UNLIKELY(condition) (condition)
#else
#define EBAGX_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#endif

/* Inlining is what turns the literal widths of a kernel's calls into constant trip counts. */
#if defined(_MSC_VER)
#define EBAGX_INLINE static __forceinline
#else
#define EBAGX_INLINE static inline __attribute__((always_inline))
#endif

/* A function stays out of line if every width would repeat it and it runs once a bag at most. */
#if defined(_MSC_VER)
#define EBAGX_OUT_OF_LINE static __declspec(noinline)
#else
#define EBAGX_OUT_OF_LINE static __attribute__((noinline, unused))
#endif

/* Without this, GCC unrolls short loops before it would vectorise them, and does neither well. */
#if defined(__GNUC__)
#define EBAGX_SIMD _Pragma("omp simd")
#else
#define EBAGX_SIMD
#endif

/* Short loops over whole vectors must not stay loops. */
#if defined(__clang__)
#define EBAGX_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define EBAGX_UNROLL _Pragma("GCC unroll 8")
#else
#define EBAGX_UNROLL
#endif
#if defined(__AVX512F__)
#define EBAGX_VECTOR_BYTES 64
#else
#define EBAGX_VECTOR_BYTES 32
#endif

/* The compiler must compute this address. Else GCC adds the offsets of accesses to what is constant in
   a loop, and each of them takes a register. */
#if defined(__GNUC__)
#define EBAGX_COMPUTE(address) __asm__("" : "+r"(address))
#else
#define EBAGX_COMPUTE(address) ((void)0)
#endif

/* Accumulators of these many bytes stay in vector registers. Blocks, with one accumulator a column,
   take half of the 16 registers of a level, or a quarter of AVX-512's 32: wider ones are no faster.
   Pairs, with two a column, take a quarter, or half of AVX-512's: rows of 128 columns come from
   memory in one walk, which is twice as fast. */
#if defined(__AVX512F__)
#define EBAGX_BLOCK_BYTES 512
#define EBAGX_PAIR_BYTES 512
#elif defined(__AVX2__)
#define EBAGX_BLOCK_BYTES 256
#define EBAGX_PAIR_BYTES 128
#else
#define EBAGX_BLOCK_BYTES 128
#define EBAGX_PAIR_BYTES 64
#endif
#define EBAGX_MAX_BLOCK 128 /* columns in the widest block */

#endif
