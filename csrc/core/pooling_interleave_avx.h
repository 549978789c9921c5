// Planes side by side by 8 x 8 transposes, for the AVX2 and the AVX-512 kernels. Internal to the including file.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace mirror {
namespace pooling {
namespace {

// out[c * step + l] = planes[l][c] for 8 planes, 8 cells. Halves are put together while loading, which leaves 16 shuffles.
static inline __attribute__((always_inline)) void interleave_8x8(const float* const* planes, int64_t cell,
                                                                 float* out, int64_t step) {
  __m256 v[8], t[8];
  for (int i = 0; i < 4; ++i) {
    const float *low = planes[i] + cell, *high = planes[i + 4] + cell;
    v[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
    v[i + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low + 4)), _mm_loadu_ps(high + 4), 1);
  }
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    _mm256_storeu_ps(out + (i + 0) * step, _mm256_shuffle_ps(t[i], t[i + 2], 0x44));
    _mm256_storeu_ps(out + (i + 1) * step, _mm256_shuffle_ps(t[i], t[i + 2], 0xee));
    _mm256_storeu_ps(out + (i + 2) * step, _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44));
    _mm256_storeu_ps(out + (i + 3) * step, _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee));
  }
}

template <int kLanes>
void interleave_floats(const float* const* planes, int64_t cells, float* tile) {
  const int64_t whole = cells / 8 * 8;
  for (int64_t l = 0; l < kLanes; l += 8)
    for (int64_t i = 0; i < whole; i += 8) interleave_8x8(planes + l, i, tile + i * kLanes + l, kLanes);
  for (int64_t i = whole; i < cells; ++i)
    for (int64_t l = 0; l < kLanes; ++l) tile[i * kLanes + l] = planes[l][i];
}

}  // namespace
}  // namespace pooling
}  // namespace mirror
