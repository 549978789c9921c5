#include "core/overlap_blocks.h"
#include "core/overlap_runs.h"

namespace mirror {
namespace overlap {
namespace {

// The bits of each byte, counted side by side.
inline uint64_t bits_of_bytes(uint64_t x) {
  constexpr uint64_t kOdd = 0x5555555555555555u, kPairs = 0x3333333333333333u, kNibbles = 0x0f0f0f0f0f0f0f0fu;
  x -= x >> 1 & kOdd;
  x = (x & kPairs) + (x >> 2 & kPairs);
  return (x + (x >> 4)) & kNibbles;
}

void count_block(const Block& block, int64_t first, int64_t last, int32_t* shared, int64_t stride) {
  for (int64_t i = first; i < last; ++i) {
    const uint64_t* const own = block.words + i / kLanes * kBlockWords * kLanes + i % kLanes;
    int32_t* const row = shared + block.views[i] * stride;
    for (int64_t g = i / kLanes; g < block.groups; ++g) {
      const uint64_t* const others = block.words + g * kBlockWords * kLanes;
      uint64_t bytes[kLanes] = {};  // at most 64 each
      for (int64_t w = 0; w < kBlockWords; ++w)
        for (int64_t l = 0; l < kLanes; ++l)
          bytes[l] += bits_of_bytes(own[w * kLanes] & others[w * kLanes + l]);
      for (int64_t l = 0; l < kLanes; ++l) {
        // Four sums of two bytes, added up in the highest 16 bits.
        const uint64_t twos = (bytes[l] & 0x00ff00ff00ff00ffu) + (bytes[l] >> 8 & 0x00ff00ff00ff00ffu);
        row[block.views[g * kLanes + l]] += static_cast<int32_t>(twos * 0x0001000100010001u >> 48);
      }
    }
  }
}

}  // namespace

Kernels portable_kernels() {
  return {find_runs, largest_id, areas_of, runs_at, add_up, occupied, count_block, weigh_block};
}

}  // namespace overlap
}  // namespace mirror
