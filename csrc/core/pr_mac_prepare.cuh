// Before the products: vectors in the engine's type with rows of whole chunks, and what distances need of them.
#pragma once

#include "core/pr_mac_score.cuh"

namespace mirror {
namespace cuda {

// in [rows, channels] -> out [rows, padded], zeros beyond `channels`. Thread = element of out.
template <class In, class Out>
__global__ void pack_rows(const In* in, int64_t rows, int32_t channels, int32_t padded, Out* out) {
  const int64_t number = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (number >= rows * padded) return;
  const int64_t row = number / padded;
  const int32_t c = static_cast<int32_t>(number % padded);
  out[number] = c < channels ? Convert<Out>::from(in[row * channels + c]) : Out{};
}

// norms and bias of a Side, whose own are not read. Thread = region.
template <class Storage>
__global__ void measure_regions(Side<Storage> side, bool distance, float* norms, float* bias) {
  const int64_t number = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (number >= side.images * side.capacity) return;
  const int64_t image = number / side.capacity;
  const int32_t region = static_cast<int32_t>(number % side.capacity);
  if (region >= side.size(image)) {
    if (distance) norms[number] = 0.0f;
    bias[number] = INFINITY;
    return;
  }
  double norm = 0;
  if (distance) {
    norm = squared_norm(side.row(image, region), side.channels);
    norms[number] = static_cast<float>(norm);
  }
  bias[number] = static_cast<float>(0.5 * norm);
}

}  // namespace cuda
}  // namespace mirror
