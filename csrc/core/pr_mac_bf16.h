// Packing for the bfloat16 kernels: a step of 4 bytes is a pair of channels. The rows are float32 that are bfloat16
// already, so the conversion only drops zeros. Everything is internal to the including file.
#pragma once

#include "core/pr_mac_pack_avx.h"

namespace mirror {
namespace prmac {
namespace {

struct Bf16Pairs {
  static int64_t steps(int64_t channels) { return (channels + 1) / 2; }
  static int64_t whole_steps(int64_t channels) { return channels / 2; }
  template <int kWidth>
  static int64_t bytes(int64_t channels) {
    return steps(channels) * kWidth * 4;
  }
  // The upper halves of 16 floats.
  MIRROR_INLINE __m256 load(const float* row, int64_t s) {
    const __m512i x = _mm512_castps_si512(_mm512_loadu_ps(row + 2 * s));
    return _mm256_castsi256_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(x, 16)));
  }
  MIRROR_INLINE float step(const float* row, int64_t s, int64_t channels) {
    uint32_t low, high = 0, pair;
    __builtin_memcpy(&low, row + 2 * s, 4);
    if (2 * s + 1 < channels) __builtin_memcpy(&high, row + 2 * s + 1, 4);
    pair = low >> 16 | (high & 0xffff0000);
    float x;
    __builtin_memcpy(&x, &pair, 4);
    return x;
  }
};

}  // namespace
}  // namespace prmac
}  // namespace mirror
