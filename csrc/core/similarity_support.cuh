// CUDA kernel of local similarity support. Block = a pair of photos, thread = match m, m + 256, ...: looks through all
// the pair's matches for supporters.
#pragma once

#include "core/device.cuh"
#include "core/similarity_support_score.h"

namespace mirror {
namespace cuda {

struct SupportWork {
  Keypoints a, b;
  const int64_t* pairs;    // [count, 2]
  const int32_t* matches;  // [total, 2]
  const float* ratios;     // [total, 2]
  const int64_t* offsets;  // [count + 1]
  SupportOptions options;
  LocatedMatch* located;  // [total]
  int32_t* supporters;    // [total]
  float* evidence;        // [count]
  uint8_t* good;          // [total] or nullptr
};

static __global__ void __launch_bounds__(256) count_support(SupportWork work) {
  const int64_t pair = blockIdx.x, photo_a = work.pairs[2 * pair], photo_b = work.pairs[2 * pair + 1];
  const int64_t begin = work.offsets[pair], count = work.offsets[pair + 1] - begin;
  const float* const a = work.a.data + photo_a * work.a.capacity * 4;
  const float* const b = work.b.data + photo_b * work.b.capacity * 4;
  LocatedMatch* const located = work.located + begin;
  for (int64_t m = threadIdx.x; m < count; m += blockDim.x) {
    const int32_t* const match = work.matches + 2 * (begin + m);
    located[m] = locate(a + int64_t{4} * match[0], b + int64_t{4} * match[1]);
  }
  __syncthreads();
  const double diagonal = work.a.diagonals[photo_a], enough = enough_supporters(work.options, count);
  for (int64_t m = threadIdx.x; m < count; m += blockDim.x) {
    const LocatedMatch own = located[m];
    int32_t supporters = 0;
    for (int64_t n = 0; n < count; ++n)
      supporters += n != m && supports(own, located[n], work.options, diagonal);
    work.supporters[begin + m] = supporters;
    if (work.good != nullptr) work.good[begin + m] = count >= 2 && supporters >= enough;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  double good = 0, all = 0;  // in rising order, by one thread: a sum of floats depends on it
  for (int64_t m = begin; m < begin + count; ++m) {
    const double weight = support_weight(work.ratios + 2 * m);
    if (count >= 2 && work.supporters[m] >= enough) good += weight;
    all += weight;
  }
  work.evidence[pair] = static_cast<float>(good + work.options.weak * all);
}

}  // namespace cuda
}  // namespace mirror
