// From integer distances to ratios and scores. Every operation is a single correctly rounded one and sums are
// integers, so that all processors, vector widths and orders of summation give the same bits.
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define MIRROR_HOST_DEVICE __host__ __device__
#else
#define MIRROR_HOST_DEVICE
#endif

namespace mirror {

// Integer distances below 2^24 are exact in float.
static MIRROR_HOST_DEVICE inline float match_ratio(int32_t first, int32_t second) {
  const float quotient =
      static_cast<float>(first < 1 ? 1 : first) / static_cast<float>(second < 1 ? 1 : second);
  const float ratio = sqrtf(quotient);
  return ratio < 1.0f ? ratio : 1.0f;
}

// (1 - mean ratio)^2 in units of 2^-30, rounded towards zero (every processor has that conversion).
// Contraction could not change it: the products by 0.5 and 2^30 are exact.
static MIRROR_HOST_DEVICE inline int32_t match_term(float ratio_a, float ratio_b) {
  const float closeness = 1.0f - 0.5f * (ratio_a + ratio_b);
  return static_cast<int32_t>(closeness * closeness * 1073741824.0f);
}

static MIRROR_HOST_DEVICE inline float match_score(int64_t sum_of_terms) {
  return static_cast<float>(sum_of_terms) * (1.0f / 1073741824.0f);
}

}  // namespace mirror
