// Sixteen lanes in AVX-512 registers; eight, with its masks, for rows of few pixels.
#include <immintrin.h>

#include <cstdint>

#include "core/rasterize_draw.h"

namespace mirror {
namespace raster {
namespace {

struct Eight {
  static constexpr int kLanes = 8;
  using I = __m256i;
  using F = __m256;
  using M = __mmask8;

  static I set(int32_t x) { return _mm256_set1_epi32(x); }
  static F set(float x) { return _mm256_set1_ps(x); }
  static I lanes() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
  static I load(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store_where(int32_t* p, M m, I yes, I) { _mm256_mask_storeu_epi32(p, m, yes); }
  static void store_where(float* p, M m, F yes, F) { _mm256_mask_storeu_ps(p, m, yes); }
  static I add(I a, I b) { return _mm256_add_epi32(a, b); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static I mul(I a, I b) { return _mm256_mullo_epi32(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F clamp(F x, F low, F high) { return _mm256_min_ps(_mm256_max_ps(x, low), high); }
  static F to_float(I x) { return _mm256_cvtepi32_ps(x); }
  static I either(I a, I b) { return _mm256_or_si256(a, b); }
  static M less(I a, I b) { return _mm256_cmplt_epi32_mask(a, b); }
  static M less(F a, F b) { return _mm256_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static M equal(F a, F b) { return _mm256_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  static M not_negative(I x) { return _mm256_cmpge_epi32_mask(x, _mm256_setzero_si256()); }
  static M both(M a, M b) { return static_cast<M>(a & b); }
  static M either(M a, M b) { return static_cast<M>(a | b); }
};

struct Avx512 {
  static constexpr int kLanes = 16, kHalf = 8;
  static constexpr unsigned kAll = 0xffff;
  using I = __m512i;
  using F = __m512;
  using D = __m512d;
  using M = __mmask16;
  using Row = Eight;
  using Wide = Avx512;

  static I set(int32_t x) { return _mm512_set1_epi32(x); }
  static F set(float x) { return _mm512_set1_ps(x); }
  static D set(double x) { return _mm512_set1_pd(x); }
  static I lanes() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
  static I load(const int32_t* p) { return _mm512_loadu_si512(p); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static I load_short(const uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static D load_double(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
  static D load_double(const double* p) { return _mm512_loadu_pd(p); }
  static void store(int32_t* p, I x) { _mm512_storeu_si512(p, x); }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static void store_where(int32_t* p, M m, I yes, I) { _mm512_mask_storeu_epi32(p, m, yes); }
  static void store_where(float* p, M m, F yes, F) { _mm512_mask_storeu_ps(p, m, yes); }
  static void store_rounded(int32_t* p, D x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtpd_epi32(x));
  }
  static void store_float(float* p, D x) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(x)); }
  static I gather(const int32_t* p, I index) { return _mm512_i32gather_epi32(index, p, 4); }
  static F gather(const float* p, I index) { return _mm512_i32gather_ps(index, p, 4); }

  static I add(I a, I b) { return _mm512_add_epi32(a, b); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static D add(D a, D b) { return _mm512_add_pd(a, b); }
  static I sub(I a, I b) { return _mm512_sub_epi32(a, b); }
  static D sub(D a, D b) { return _mm512_sub_pd(a, b); }
  static I mul(I a, I b) { return _mm512_mullo_epi32(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static D mul(D a, D b) { return _mm512_mul_pd(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static D div(D a, D b) { return _mm512_div_pd(a, b); }
  static I min(I a, I b) { return _mm512_min_epi32(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static I max(I a, I b) { return _mm512_max_epi32(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F clamp(F x, F low, F high) { return min(max(x, low), high); }
  static D abs(D x) { return _mm512_abs_pd(x); }
  template <int kBits>
  static I shift(I x) {
    return _mm512_srai_epi32(x, kBits);
  }
  template <int kBits>
  static I grow(I x) {
    return _mm512_slli_epi32(x, kBits);
  }
  // (a dx + b dy - bias) / 4096, rounded down: even lanes, then odd ones.
  static I edge(I a, I dx, I b, I dy, I bias) {
    const auto odd = [](I x) { return _mm512_srli_epi64(x, 32); };
    const I low = _mm512_add_epi64(_mm512_mul_epi32(a, dx), _mm512_mul_epi32(b, dy));
    const I high = _mm512_add_epi64(_mm512_mul_epi32(odd(a), odd(dx)), _mm512_mul_epi32(odd(b), odd(dy)));
    const I low_bias = _mm512_and_si512(bias, _mm512_set1_epi64(1));
    return _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(_mm512_sub_epi64(low, low_bias), kSubpixelBits),
                                   _mm512_slli_epi64(_mm512_sub_epi64(high, odd(bias)), 32 - kSubpixelBits));
  }
  static D to_double(I x, int half) {
    return _mm512_cvtepi32_pd(half == 0 ? _mm512_castsi512_si256(x) : _mm512_extracti64x4_epi64(x, 1));
  }
  static D to_double(F x, int half) {
    return _mm512_cvtps_pd(half == 0 ? _mm512_castps512_ps256(x) : _mm512_extractf32x8_ps(x, 1));
  }
  static F to_float(I x) { return _mm512_cvtepi32_ps(x); }
  static F to_float(D low, D high) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
  }

  static M less(I a, I b) { return _mm512_cmplt_epi32_mask(a, b); }
  static M less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static M equal(I a, I b) { return _mm512_cmpeq_epi32_mask(a, b); }
  static M equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
  static M not_negative(I x) { return _mm512_cmpge_epi32_mask(x, _mm512_setzero_si512()); }
  static __mmask8 at_most(D a, D b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
  static __mmask8 both(__mmask8 a, __mmask8 b) { return static_cast<__mmask8>(a & b); }
  static M both(M a, M b) { return static_cast<M>(a & b); }
  static M either(M a, M b) { return static_cast<M>(a | b); }
  static I either(I a, I b) { return _mm512_or_si512(a, b); }
  static M but_not(M a, M b) { return static_cast<M>(a & ~b); }
  static I select(M m, I yes, I no) { return _mm512_mask_blend_epi32(m, no, yes); }
  static F select(M m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }
  static D keep(__mmask8 m, D x) { return _mm512_maskz_mov_pd(m, x); }
  static unsigned bits(M m) { return m; }
  static bool any(M m) { return m != 0; }
  static bool every(__mmask8 m) { return m == 0xff; }
  static M moving(unsigned kept) { return static_cast<M>(kept); }
  static I together(I x, M move) { return _mm512_maskz_compress_epi32(move, x); }
};

}  // namespace

Kernels avx512_kernels() { return {draw<Avx512>, invert<Avx512>}; }

}  // namespace raster
}  // namespace mirror
