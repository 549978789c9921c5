// Eight lanes in AVX2 registers. Included by files compiled for AVX2 or more.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstdint>

#include "core/rasterize_setup.h"

namespace mirror {
namespace raster {
namespace {

// Byte k of entry m: the lane of the k-th bit that is set in m.
constexpr std::array<uint64_t, 256> moves() {
  std::array<uint64_t, 256> table{};
  for (unsigned m = 0; m < 256; ++m)
    for (unsigned lane = 0, n = 0; lane < 8; ++lane)
      if (m >> lane & 1) table[m] |= uint64_t{lane} << (8 * n++);
  return table;
}
constexpr std::array<uint64_t, 256> kMoves = moves();

struct Avx2 {
  static constexpr int kLanes = 8, kHalf = 4;
  static constexpr unsigned kAll = 0xff;
  using I = __m256i;
  using F = __m256;
  using D = __m256d;
  using M = __m256i;
  using Row = Avx2;
  using Wide = Avx2;

  static I set(int32_t x) { return _mm256_set1_epi32(x); }
  static F set(float x) { return _mm256_set1_ps(x); }
  static D set(double x) { return _mm256_set1_pd(x); }
  static I lanes() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
  static I load(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static I load_short(const uint16_t* p) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static D load_double(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
  static D load_double(const double* p) { return _mm256_loadu_pd(p); }
  static void store(int32_t* p, I x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static void store_where(int32_t* p, M m, I yes, I no) { store(p, select(m, yes, no)); }
  static void store_where(float* p, M m, F yes, F no) { store(p, select(m, yes, no)); }
  static void store_rounded(int32_t* p, D x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtpd_epi32(x));
  }
  static void store_float(float* p, D x) { _mm_storeu_ps(p, _mm256_cvtpd_ps(x)); }
  static I gather(const int32_t* p, I index) { return _mm256_i32gather_epi32(p, index, 4); }
  static F gather(const float* p, I index) { return _mm256_i32gather_ps(p, index, 4); }

  static I add(I a, I b) { return _mm256_add_epi32(a, b); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static D add(D a, D b) { return _mm256_add_pd(a, b); }
  static I sub(I a, I b) { return _mm256_sub_epi32(a, b); }
  static D sub(D a, D b) { return _mm256_sub_pd(a, b); }
  static I mul(I a, I b) { return _mm256_mullo_epi32(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static D mul(D a, D b) { return _mm256_mul_pd(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static D div(D a, D b) { return _mm256_div_pd(a, b); }
  static I min(I a, I b) { return _mm256_min_epi32(a, b); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static I max(I a, I b) { return _mm256_max_epi32(a, b); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F clamp(F x, F low, F high) { return min(max(x, low), high); }
  static D abs(D x) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), x); }
  template <int kBits>
  static I shift(I x) {
    return _mm256_srai_epi32(x, kBits);
  }
  template <int kBits>
  static I grow(I x) {
    return _mm256_slli_epi32(x, kBits);
  }
  // (a dx + b dy - bias) / 4096, rounded down: even lanes, then odd ones.
  static I edge(I a, I dx, I b, I dy, I bias) {
    const auto odd = [](I x) { return _mm256_srli_epi64(x, 32); };
    const I low = _mm256_add_epi64(_mm256_mul_epi32(a, dx), _mm256_mul_epi32(b, dy));
    const I high = _mm256_add_epi64(_mm256_mul_epi32(odd(a), odd(dx)), _mm256_mul_epi32(odd(b), odd(dy)));
    const I low_bias = _mm256_and_si256(bias, _mm256_set1_epi64x(1));
    return _mm256_blend_epi32(_mm256_srli_epi64(_mm256_sub_epi64(low, low_bias), kSubpixelBits),
                              _mm256_slli_epi64(_mm256_sub_epi64(high, odd(bias)), 32 - kSubpixelBits), 0xaa);
  }
  static D to_double(I x, int half) {
    return _mm256_cvtepi32_pd(half == 0 ? _mm256_castsi256_si128(x) : _mm256_extracti128_si256(x, 1));
  }
  static D to_double(F x, int half) {
    return _mm256_cvtps_pd(half == 0 ? _mm256_castps256_ps128(x) : _mm256_extractf128_ps(x, 1));
  }
  static F to_float(I x) { return _mm256_cvtepi32_ps(x); }
  static F to_float(D low, D high) { return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low)); }

  static M less(I a, I b) { return _mm256_cmpgt_epi32(b, a); }
  static M less(F a, F b) { return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
  static M equal(I a, I b) { return _mm256_cmpeq_epi32(a, b); }
  static M equal(F a, F b) { return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
  static M not_negative(I x) { return _mm256_cmpgt_epi32(x, _mm256_set1_epi32(-1)); }
  static D at_most(D a, D b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
  static D both(D a, D b) { return _mm256_and_pd(a, b); }
  static M both(M a, M b) { return _mm256_and_si256(a, b); }
  static M either(M a, M b) { return _mm256_or_si256(a, b); }
  static M but_not(M a, M b) { return _mm256_andnot_si256(b, a); }
  static I select(M m, I yes, I no) { return _mm256_blendv_epi8(no, yes, m); }
  static F select(M m, F yes, F no) { return _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(m)); }
  static D keep(D m, D x) { return _mm256_and_pd(m, x); }
  static unsigned bits(M m) { return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(m))); }
  static bool any(M m) { return bits(m) != 0; }
  static bool every(D m) { return _mm256_movemask_pd(m) == 0xf; }
  static I moving(unsigned kept) {
    return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(kMoves[kept])));
  }
  static I together(I x, I move) { return _mm256_permutevar8x32_epi32(x, move); }
};

}  // namespace
}  // namespace raster
}  // namespace mirror
