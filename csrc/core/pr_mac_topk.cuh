// Running lists of the k closest targets. A list is k keys (rank_key), closest first, 0 where there is none yet. Keys
// are unique and totally ordered, so that the list does not depend on the order in which scores arrive.
#pragma once

#include "core/pr_mac_score.cuh"

namespace mirror {
namespace cuda {

constexpr int kListThreads = 256;

// Room for a list and at least one batch of newcomers: a power of two, for the sorting network.
MIRROR_HOST_DEVICE inline int32_t sort_width(int32_t k) {
  int32_t width = kListThreads;
  while (width < k + kListThreads) width *= 2;
  return width;
}
MIRROR_HOST_DEVICE inline int64_t list_shared_bytes(int32_t k) {
  return static_cast<int64_t>(sort_width(k)) * static_cast<int64_t>(sizeof(uint64_t)) + 16;
}

// Bitonic, largest first; the whole block.
__device__ inline void sort_keys(uint64_t* keys, int32_t width) {
  for (int32_t size = 2; size <= width; size *= 2)
    for (int32_t stride = size / 2; stride > 0; stride /= 2) {
      for (int32_t i = threadIdx.x; i < width / 2; i += blockDim.x) {
        const int32_t low = 2 * i - (i & (stride - 1)), high = low + stride;
        const uint64_t x = keys[low], y = keys[high];
        if ((x < y) == ((low & size) == 0)) {
          keys[low] = y;
          keys[high] = x;
        }
      }
      __syncthreads();
    }
}

struct ListWork {
  const float* scores;    // [queries, stride]
  int64_t stride, count;  // scores of a query: `count`
  const int64_t*
      candidates;  // their target images [queries, count], -1: none; nullptr: first_target, + 1, ...
  int64_t first_target;
  bool higher_is_closer;
  int32_t k;
  uint64_t* lists;  // [queries, k]
};

// Block = query. Scores pass in batches of one per thread; those that beat the list's last wait behind the list, and
// only when there is no room for another batch is it sorted.
static __global__ void __launch_bounds__(kListThreads) merge_lists(ListWork work) {
  const int32_t width = sort_width(work.k);
  uint64_t* const keys = reinterpret_cast<uint64_t*>(shared_memory());
  int* const filled = reinterpret_cast<int*>(keys + width);
  uint64_t* const list = work.lists + static_cast<int64_t>(blockIdx.x) * work.k;
  for (int32_t i = threadIdx.x; i < work.k; i += blockDim.x) keys[i] = list[i];
  if (threadIdx.x == 0) *filled = work.k;
  __syncthreads();
  uint64_t last = keys[work.k - 1];
  for (int64_t begin = 0; begin < work.count; begin += blockDim.x) {
    const int64_t i = begin + threadIdx.x, at = blockIdx.x * work.stride + i;
    uint64_t key = 0;
    if (i < work.count) {
      const int64_t target =
          work.candidates == nullptr ? work.first_target + i : work.candidates[blockIdx.x * work.count + i];
      if (target >= 0) key = rank_key(work.scores[at], static_cast<uint32_t>(target), work.higher_is_closer);
    }
    if (key > last) keys[atomicAdd(filled, 1)] = key;
    __syncthreads();
    const int32_t held = *filled;
    __syncthreads();  // all have read it before anyone adds to it
    const bool final_batch = begin + blockDim.x >= work.count;
    if (held == work.k || (held + static_cast<int32_t>(blockDim.x) <= width && !final_batch)) continue;
    for (int32_t k = held + threadIdx.x; k < width; k += blockDim.x) keys[k] = 0;
    if (threadIdx.x == 0) *filled = work.k;
    __syncthreads();
    sort_keys(keys, width);
    last = keys[work.k - 1];
  }
  for (int32_t i = threadIdx.x; i < work.k; i += blockDim.x) list[i] = keys[i];
}

// Lists to values and indices; the tail of a list that is not full: the worst score and -1. Thread = entry.
static __global__ void read_lists(const uint64_t* lists, int64_t count, bool higher_is_closer, float* values,
                                  int64_t* indices) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const uint64_t key = lists[i];
  values[i] = key != 0 ? rank_score(key, higher_is_closer) : higher_is_closer ? -INFINITY : INFINITY;
  indices[i] = key != 0 ? static_cast<int64_t>(rank_index(key)) : -1;
}

}  // namespace cuda
}  // namespace mirror
