// Packing by 8 x 8 transposes, for the AVX2 and the AVX-512 kernel. Everything is internal to the including file, which
// has its own instruction set.
#pragma once

#include <immintrin.h>

#include <cstdint>

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

// Channels c .. c + 8 of rows 0 .. count (the others zero), transposed.
MIRROR_INLINE void load_transposed(const float* const* rows, int count, int64_t c, __m256 (&v)[8]) {
  MIRROR_UNROLL for (int i = 0; i < 8; ++i)
    v[i] = i < count && rows[i] ? _mm256_loadu_ps(rows[i] + c) : _mm256_setzero_ps();
  transpose(v);
}

// kWidth rows [channels] -> packed [channels, kWidth]
template <int kWidth>
__attribute__((noinline)) void pack_rows(const float* const* rows, int64_t channels, void* packed) {
  constexpr int kGroups = (kWidth + 7) / 8;
  constexpr int kStep = kWidth % 8 == 0 ? 1 : kGroups;  // groups that must be stored channel by channel
  float* out = static_cast<float*>(packed);
  // Where kWidth is no multiple of 8, a store spills into the next channel, which is stored later and so overwrites
  // it: the last channels are therefore left to the plain loop.
  const int64_t blocks = kWidth % 8 == 0 ? channels / 8 : (channels - 1) / 8;
  for (int first = 0; first < kGroups; first += kStep)
    for (int64_t c = 0; c < blocks * 8; c += 8) {
      __m256 v[kStep][8];
      MIRROR_UNROLL for (int g = 0; g < kStep; ++g)
        load_transposed(rows + 8 * (first + g), kWidth - 8 * (first + g), c, v[g]);
      MIRROR_UNROLL for (int k = 0; k < 8; ++k)
        MIRROR_UNROLL for (int g = 0; g < kStep; ++g)
          _mm256_storeu_ps(out + (c + k) * kWidth + 8 * (first + g), v[g][k]);
    }
  for (int64_t c = blocks * 8; c < channels; ++c)
    for (int i = 0; i < kWidth; ++i) out[c * kWidth + i] = rows[i] ? rows[i][c] : 0.f;
}

template <int kWidth>
int64_t packed_bytes(int64_t channels) {
  return channels * kWidth * 4;
}

}  // namespace
}  // namespace prmac
}  // namespace mirror
