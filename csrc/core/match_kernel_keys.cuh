// Keys of the CUDA match kernel, and the list of pairs it works through. Nothing here needs a GPU.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace mirror {
namespace cuda {

// ---- keys -----------------------------------------------------------------------------------------------------------

MIRROR_HOST_DEVICE inline uint32_t match_key(int32_t product, int index) {
  return (static_cast<uint32_t>(product) << 11) + static_cast<uint32_t>(2047 - index);
}

MIRROR_HOST_DEVICE inline uint64_t widen_key(uint32_t key, int block_begin) {
  const int index = block_begin + 2047 - static_cast<int>(key & 2047);
  return key == 0 ? 0 : static_cast<uint64_t>(key >> 11) << 15 | static_cast<uint64_t>(32767 - index);
}
MIRROR_HOST_DEVICE inline int32_t key_index(uint64_t key) {
  return 32767 - static_cast<int32_t>(key & 32767);
}
MIRROR_HOST_DEVICE inline int32_t key_product(uint64_t key) { return static_cast<int32_t>(key >> 15); }

template <class Key>
struct TopTwo {
  Key first, second;

  MIRROR_HOST_DEVICE void insert(Key key) {
    const Key beaten = first < key ? first : key;
    first = first < key ? key : first;
    second = second < beaten ? beaten : second;
  }
  MIRROR_HOST_DEVICE void merge(const TopTwo& other) {
    insert(other.first);
    second = second < other.second ? other.second : second;
  }
};

MIRROR_HOST_DEVICE inline TopTwo<uint64_t> widen(const TopTwo<uint32_t>& keys, int block_begin) {
  return {widen_key(keys.first, block_begin), widen_key(keys.second, block_begin)};
}

// ---- the list of pairs ----------------------------------------------------------------------------------------------

enum class MatchMode : int { kAll, kSelf, kPairs };

struct PairIndex {
  int64_t a, b;
};

// The pairs a <= b of n photos, numbered 0 .. n (n + 1) / 2 - 1. Row r of the triangle and row n - 1 - r together have
// n + 1 entries: no square root needed.
MIRROR_HOST_DEVICE inline PairIndex triangle_pair(int64_t number, int64_t n) {
  const int64_t row = number / (n + 1), place = number % (n + 1);
  if (place < n - row) return {row, row + place};
  const int64_t mirrored = n - 1 - row;
  return {mirrored, mirrored + place - (n - row)};
}

struct MatchWork {
  const uint8_t* a;  // [a_images, a_capacity, 128]
  const uint8_t* b;
  const int32_t* a_sizes;  // nullptr: a_depth
  const int32_t* b_sizes;
  const int32_t* a_norms;  // [a_images, a_depth]
  const int32_t* b_norms;
  int64_t a_capacity, b_capacity;
  int32_t a_depth, b_depth;  // features that are read: min(depth, capacity)
  MatchMode mode;
  const int64_t* pairs;  // kPairs: [count, 2]
  int64_t count;         // pairs
  int64_t b_images;
  float max_ratio;         // mutual matches only
  unsigned char* scratch;  // nullptr: the state of a pair lies in shared memory
  float* scores;           // kAll, kSelf: [a_images, b_images]; kPairs: [count]
  int64_t* offsets;  // mutual matches: in the first pass out, counts [count]; in the second in, [count + 1]
  int32_t* matches;
  float* ratios;
};

MIRROR_HOST_DEVICE inline PairIndex pair_of(const MatchWork& work, int64_t number) {
  if (work.mode == MatchMode::kPairs) return {work.pairs[2 * number], work.pairs[2 * number + 1]};
  if (work.mode == MatchMode::kSelf) return triangle_pair(number, work.b_images);
  return {number / work.b_images, number % work.b_images};
}

MIRROR_HOST_DEVICE inline int32_t size_of(const int32_t* sizes, int64_t image, int32_t depth) {
  const int32_t size = sizes == nullptr ? depth : sizes[image];
  return size < depth ? size : depth;
}

}  // namespace cuda
}  // namespace mirror
