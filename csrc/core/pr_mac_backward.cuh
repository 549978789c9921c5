// Gradient of pr_mac, in three kernels; the formulas are those of pr_mac_backward.cpp:
//   weights [Q, T, R]   how strongly each matched region pulls            warp = pair of images
//   grad_query          sum over targets, in rising order                 block = query region, thread = channel
//   grad_target         sum over queries and their regions, in order      block = target image, thread = channel
// No atomic additions: the same bits every time.
#pragma once

#include "core/pr_mac_score.cuh"

namespace mirror {
namespace cuda {

struct GradientWork {
  Side<float> query, target;  // rows as the caller gave them: any number of channels; no norms, no bias
  Reduction reduction;
  const float* grad;      // [Q, T]
  const float* scores;    // [Q, T]
  const int32_t* argmax;  // [Q, T, R]
  float* weights;         // [Q, T, R]
  float* grad_query;
  float* grad_target;
};

// <x, y> or |x - y|^2, by one warp; the same for all lanes.
__device__ inline float warp_product(const float* x, const float* y, int32_t channels, bool distance) {
  double sum = 0;
  for (int32_t c = threadIdx.x & 31; c < channels; c += 32) {
    const double a = x[c], b = y[c];
    sum += distance ? (a - b) * (a - b) : a * b;
  }
  for (int mask = 16; mask > 0; mask >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
  return static_cast<float>(sum);
}

MIRROR_HOST_DEVICE inline float over(float grad, float by) { return by > 0 ? grad / by : 0.0f; }

// Weight of every region where it does not depend on the region.
MIRROR_HOST_DEVICE inline float common_weight(Reduction reduction, float grad, float score, int32_t regions) {
  if (reduction == Reduction::kCosine) return grad / static_cast<float>(regions);
  if (reduction == Reduction::kSqEuclid) return 2 * grad;
  return over(grad, score);  // kEuclidL2
}

static __global__ void gradient_weights(GradientWork work) {
  const int lane = threadIdx.x & 31;
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * (blockDim.x >> 5) + (threadIdx.x >> 5);
  if (pair >= work.query.images * work.target.images) return;  // a whole warp
  const int64_t q = pair / work.target.images, t = pair % work.target.images;
  const int32_t capacity = work.query.capacity, regions = work.query.size(q);
  const int32_t* const match = work.argmax + pair * capacity;
  float* const weights = work.weights + pair * capacity;
  const float grad = work.grad[pair];
  const bool flows = grad != 0 && regions > 0 && work.target.size(t) > 0;
  const Reduction r = work.reduction;
  const bool decisive = r == Reduction::kBest || r == Reduction::kHausdorff;
  const bool common = !decisive && r != Reduction::kEuclidSum;
  const float shared_weight = flows && common ? common_weight(r, grad, work.scores[pair], regions) : 0.0f;
  for (int32_t i = lane; i < capacity; i += 32) weights[i] = i < regions ? shared_weight : 0.0f;
  if (!flows || common) return;
  __syncwarp();
  int32_t region = -1;  // the first with the largest product or distance
  float largest = 0;
  for (int32_t i = 0; i < regions; ++i) {
    const float value =
        warp_product(work.query.row(q, i), work.target.row(t, match[i]), work.query.channels, is_distance(r));
    if (!decisive && lane == 0) weights[i] = over(grad, sqrtf(value));
    if (region >= 0 && !(value > largest)) continue;
    largest = value;
    region = i;
  }
  if (decisive && lane == 0) weights[region] = r == Reduction::kBest ? grad : over(grad, sqrtf(largest));
}

__device__ inline void pull(bool distance, float weight, float own, float other, float* sum) {
  *sum += weight * (distance ? own - other : other);
}

static __global__ void gradient_of_query(GradientWork work) {
  const int64_t q = blockIdx.x / work.query.capacity;
  const int32_t i = static_cast<int32_t>(blockIdx.x % work.query.capacity);
  const int64_t step = work.query.capacity;
  const float* const own = work.query.row(q, i);
  for (int32_t c = threadIdx.x; c < work.query.channels; c += blockDim.x) {
    float sum = 0;
    int64_t at = q * work.target.images * step + i;
    for (int64_t t = 0; t < work.target.images; ++t, at += step) {
      const float weight = work.weights[at];
      if (weight != 0)
        pull(is_distance(work.reduction), weight, own[c], work.target.row(t, work.argmax[at])[c], &sum);
    }
    work.grad_query[(q * work.query.capacity + i) * work.query.channels + c] = sum;
  }
}

// blockIdx.y = which blockDim.x channels. Sums grow where they are wanted: each thread has its own channel.
static __global__ void gradient_of_target(GradientWork work) {
  const int64_t t = blockIdx.x;
  const int32_t c = blockIdx.y * blockDim.x + threadIdx.x, channels = work.query.channels;
  if (c >= channels) return;
  float* const out = work.grad_target + t * work.target.capacity * channels + c;
  for (int32_t j = 0; j < work.target.capacity; ++j) out[static_cast<int64_t>(j) * channels] = 0.0f;
  for (int64_t q = 0; q < work.query.images; ++q)
    for (int32_t i = 0; i < work.query.size(q); ++i) {
      const int64_t at = (q * work.target.images + t) * work.query.capacity + i;
      const float weight = work.weights[at];
      if (weight == 0) continue;
      const int32_t j = work.argmax[at];
      pull(is_distance(work.reduction), weight, work.target.row(t, j)[c], work.query.row(q, i)[c],
           &out[static_cast<int64_t>(j) * channels]);
    }
}

}  // namespace cuda
}  // namespace mirror
