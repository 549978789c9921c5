// Occupied blocks, and the weights of shared triangles. Every file that includes this compiles it for its own instruction
// set; the order of summation is that of mirror/overlap.h in each.
#pragma once

#include <cstdint>

#include "core/overlap_kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace mirror {
namespace overlap {
namespace {

inline bool any_bit(const uint64_t* block) {
#if defined(__AVX512BW__)
  const __m512i words = _mm512_loadu_si512(block);
  return _mm512_test_epi64_mask(words, words) != 0;
#elif defined(__AVX2__)
  const __m256i* const halves = reinterpret_cast<const __m256i*>(block);
  const __m256i words = _mm256_or_si256(_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1));
  return _mm256_testz_si256(words, words) == 0;
#else
  uint64_t any = 0;
  for (int64_t w = 0; w < kBlockWords; ++w) any |= block[w];
  return any != 0;
#endif
}

void occupied(const uint64_t* words, int64_t blocks, uint64_t* mask) {
  for (int64_t first = 0; first < blocks; first += 64) {
    uint64_t bits = 0;
    const int64_t count = blocks - first < 64 ? blocks - first : 64;
    for (int64_t b = 0; b < count; ++b)
      bits |= static_cast<uint64_t>(any_bit(words + (first + b) * kBlockWords)) << b;
    mask[first / 64] = bits;
  }
}

// sums[l] += the weights of triangles l, l + 8, ... of a word that is in both sets.
#if defined(__AVX512BW__)
struct Sums {
  __m512d lanes = _mm512_setzero_pd();
  void add(uint64_t shared, const double* weights) {
    for (int i = 0; i < 8; ++i, shared >>= 8)
      lanes =
          _mm512_mask_add_pd(lanes, static_cast<__mmask8>(shared), lanes, _mm512_loadu_pd(weights + 8 * i));
  }
  void store(double* sums) const { _mm512_storeu_pd(sums, lanes); }
};
#elif defined(__AVX2__)
struct Sums {
  __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
  void add(uint64_t shared, const double* weights) {
    const __m256i low_bits = _mm256_setr_epi64x(1, 2, 4, 8), high_bits = _mm256_setr_epi64x(16, 32, 64, 128);
    for (int i = 0; i < 8; ++i, shared >>= 8) {
      const __m256i all = _mm256_set1_epi64x(static_cast<long long>(shared));
      low = _mm256_add_pd(low, kept(all, low_bits, weights + 8 * i));
      high = _mm256_add_pd(high, kept(all, high_bits, weights + 8 * i + 4));
    }
  }
  void store(double* sums) const {
    _mm256_storeu_pd(sums, low);
    _mm256_storeu_pd(sums + 4, high);
  }

 private:
  // +0 where the bit is not set; adding it changes nothing, because a sum that starts at +0 is never -0.
  static __m256d kept(__m256i all, __m256i bits, const double* weights) {
    const __m256i set = _mm256_cmpeq_epi64(_mm256_and_si256(all, bits), bits);
    return _mm256_and_pd(_mm256_castsi256_pd(set), _mm256_loadu_pd(weights));
  }
};
#else
struct Sums {
  double lanes[8] = {};
  void add(uint64_t shared, const double* weights) {
    for (; shared != 0; shared &= shared - 1) {
      const int t = __builtin_ctzll(shared);
      lanes[t % 8] += weights[t];
    }
  }
  void store(double* sums) const {
    for (int l = 0; l < 8; ++l) sums[l] = lanes[l];
  }
};
#endif

void weigh_block(const Block& block, const double* weights, int64_t first, int64_t last, double* shared,
                 int64_t stride) {
  for (int64_t i = first; i < last; ++i) {
    const uint64_t* const own = block.words + i / kLanes * kBlockWords * kLanes + i % kLanes;
    double* const row = shared + block.views[i] * stride;
    for (int64_t j = i; j < block.groups * kLanes; ++j) {
      const uint64_t* const other = block.words + j / kLanes * kBlockWords * kLanes + j % kLanes;
      Sums sums;
      uint64_t any = 0;
      for (int64_t w = 0; w < kBlockWords; ++w) {
        const uint64_t both = own[w * kLanes] & other[w * kLanes];
        any |= both;
        if (both != 0) sums.add(both, weights + 64 * w);
      }
      if (any == 0) continue;
      double s[8];
      sums.store(s);
      row[block.views[j]] += ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
  }
}

}  // namespace
}  // namespace overlap
}  // namespace mirror
