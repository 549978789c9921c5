// What needs more than operators: the lanes of a vector together. Internal to the including file.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace mirror {
namespace pooling {
namespace {

// Bit l: is lane l of the mask (0 or all ones) set?
#if defined(__AVX512DQ__)
inline uint32_t bits(__m512i mask, float) { return _mm512_movepi32_mask(mask); }
inline uint32_t bits(__m512i mask, double) { return _mm512_movepi64_mask(mask); }
inline float largest_lane(__m512 v) { return _mm512_reduce_max_ps(v); }
inline double largest_lane(__m512d v) { return _mm512_reduce_max_pd(v); }
#elif defined(__AVX2__)
inline uint32_t bits(__m256i mask, float) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(mask)));
}
inline uint32_t bits(__m256i mask, double) {
  return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(mask)));
}
inline float largest_lane(__m256 v) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
inline double largest_lane(__m256d v) {
  const __m128d half = _mm_max_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
  return _mm_cvtsd_f64(_mm_max_sd(half, _mm_unpackhi_pd(half, half)));
}
#else
template <class Mask, class T>
inline uint32_t bits(const Mask& mask, T) {
  uint32_t set = 0;
  for (unsigned l = 0; l < sizeof(Mask) / sizeof(T); ++l) set |= static_cast<uint32_t>(mask[l] & 1) << l;
  return set;
}
template <class Vector>
inline auto largest_lane(const Vector& v) {
  auto largest = v[0];
  for (unsigned l = 1; l < sizeof(Vector) / sizeof(largest); ++l) largest = v[l] > largest ? v[l] : largest;
  return largest;
}
#endif

}  // namespace
}  // namespace pooling
}  // namespace mirror
