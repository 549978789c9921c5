// Packing by 8 x 8 transposes, for the AVX2 and the AVX-512 kernel. Everything is internal to the including file, which
// has its own instruction set.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "core/pr_mac_tiles.h"

#define MIRROR_UNROLL _Pragma("GCC unroll 32")
#define MIRROR_INLINE static inline __attribute__((always_inline))

namespace mirror {
namespace prmac {
namespace {

// v[i][c] -> v[c][i]
MIRROR_INLINE void transpose(__m256 (&v)[8]) {
  __m256 t[8];
  MIRROR_UNROLL for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
  MIRROR_UNROLL for (int i = 0; i < 8; i += 4) {
    v[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    v[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    v[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    v[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  MIRROR_UNROLL for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x31);
  }
  MIRROR_UNROLL for (int i = 0; i < 8; ++i) v[i] = t[i];
}

// Rows are packed in steps of 4 bytes. Float32: a step is a channel.
struct Floats {
  static int64_t steps(int64_t channels) { return channels; }
  template <int kWidth>
  static int64_t bytes(int64_t channels) {
    return channels * kWidth * 4;
  }
  // Steps s .. s + 8 of a row, and one of them.
  MIRROR_INLINE __m256 load(const float* row, int64_t s) { return _mm256_loadu_ps(row + s); }
  MIRROR_INLINE float step(const float* row, int64_t s, int64_t) { return row[s]; }
  static int64_t whole_steps(int64_t channels) { return channels; }  // those that `load` may read
};

// Steps s .. s + 8 of rows 0 .. count (the others zero), transposed.
template <class Source>
MIRROR_INLINE void load_transposed(const float* const* rows, int count, int64_t s, __m256 (&v)[8]) {
  MIRROR_UNROLL for (int i = 0; i < 8; ++i) v[i] =
      i < count && rows[i] ? Source::load(rows[i], s) : _mm256_setzero_ps();
  transpose(v);
}

// kWidth rows [channels] -> packed [steps, kWidth]
template <int kWidth, class Source>
__attribute__((noinline)) void pack_rows(const float* const* rows, int64_t channels, void* packed) {
  constexpr int kGroups = (kWidth + 7) / 8;
  constexpr int kTogether = kWidth % 8 == 0 ? 1 : kGroups;  // groups that must be stored step by step
  float* out = static_cast<float*>(packed);
  // Where kWidth is no multiple of 8, a store spills into the next step, which is stored later and so overwrites it:
  // the last step is therefore left to the plain loop.
  const int64_t blocks = (Source::whole_steps(channels) - (kWidth % 8 == 0 ? 0 : 1)) / 8;
  for (int first = 0; first < kGroups; first += kTogether)
    for (int64_t s = 0; s < blocks * 8; s += 8) {
      __m256 v[kTogether][8];
      MIRROR_UNROLL for (int g = 0; g < kTogether; ++g)
          load_transposed<Source>(rows + 8 * (first + g), kWidth - 8 * (first + g), s, v[g]);
      MIRROR_UNROLL for (int k = 0; k < 8; ++k) MIRROR_UNROLL for (int g = 0; g < kTogether; ++g)
          _mm256_storeu_ps(out + (s + k) * kWidth + 8 * (first + g), v[g][k]);
    }
  for (int64_t s = blocks * 8; s < Source::steps(channels); ++s)
    for (int i = 0; i < kWidth; ++i) out[s * kWidth + i] = rows[i] ? Source::step(rows[i], s, channels) : 0.f;
}

// ---- re-ranking: candidates lie anywhere in memory, so while one is multiplied the next is fetched, line by line ------
constexpr int64_t kLine = 16;  // floats of a cache line

MIRROR_INLINE int64_t line_end(int64_t c, int64_t channels) {
  return c + kLine < channels ? c + kLine : channels;
}

template <int kRows>
MIRROR_INLINE void fetch_ahead(const Strip<float>& s, const float* const* row, int64_t c) {
  MIRROR_UNROLL for (int i = 0; i < kRows; ++i)  // the rows of the next step, from the second-level cache
      _mm_prefetch(reinterpret_cast<const char*>(row[i] + kRows * s.channels + c), _MM_HINT_T0);
  if (!s.upcoming) return;
  MIRROR_UNROLL for (int i = 0; i < kRows; ++i)
      _mm_prefetch(reinterpret_cast<const char*>(s.upcoming + (row[i] - s.target) + c), _MM_HINT_T1);
}

}  // namespace
}  // namespace prmac
}  // namespace mirror
