// What the instruction sets differ in. A kernel sees plain pointers: the other files deal with views, pairs and threads.
#pragma once

#include <cstdint>

namespace mirror {
namespace overlap {

// Sets are compared in blocks of 512 triangles. A block of several sets lies in groups of eight sets, word by word:
// word w of set 8 g + l of the block is words[(g * kBlockWords + w) * kLanes + l].
constexpr int64_t kBlockWords = 8;
constexpr int64_t kLanes = 8;

struct Block {
  const uint64_t* words = nullptr;  // [groups, kBlockWords, kLanes]
  const int32_t* views =
      nullptr;  // [groups * kLanes]: whose sets, rising; beyond the last of them it again, no bits
  int64_t groups = 0;
};

// 64 pixels of a row: bit i says whether a run of equal ids begins there; runs that begin before them.
struct RowMask {
  uint64_t bits;
  int32_t before;
};

struct Kernels {
  // The runs of equal ids in ids [count >= 1]: where they start and the id of each; then starts[runs] = count,
  // ids[runs] = -1. There is room for count + 16. mask [count / 64 + 1]; at `count` a run begins too. How many runs.
  int64_t (*find_runs)(const int32_t* ids, int64_t count, int32_t* starts, int32_t* run_ids, RowMask* mask);

  // The largest id + 1 as an unsigned number: whatever is below -1 is large. 0 where count = 0.
  uint32_t (*largest_id)(const int32_t* ids, int64_t count);

  // areas [runs + 1]: the pixels of each run. Runs without a triangle, and the empty one at the end, get id 0, area 0.
  void (*areas_of)(const int32_t* starts, int64_t runs, int32_t* ids, uint32_t* areas);

  // The number of the run that each of the pixels lies in.
  void (*runs_at)(const RowMask* mask, const int32_t* pixels, int64_t count, int32_t* runs);

  // before[k], k = 0..count: the areas before k whose triangle is in the set, modulo 2^32. ids >= 0.
  void (*add_up)(const int32_t* ids, const uint32_t* areas, int64_t count, const uint64_t* bits,
                 uint32_t* before);

  // Sets bit b of mask where block b of words [blocks * kBlockWords] has a bit; mask is 0 before.
  void (*occupied)(const uint64_t* words, int64_t blocks, uint64_t* mask);

  // Sets first..last-1 of the block with themselves and all that come after: adds how many triangles they share to
  // shared[own view * stride + other view]. Also to some views that come before.
  void (*count_block)(const Block& block, int64_t first, int64_t last, int32_t* shared, int64_t stride);

  // The same with weights [512].
  void (*weigh_block)(const Block& block, const double* weights, int64_t first, int64_t last, double* shared,
                      int64_t stride);
};

Kernels portable_kernels();
#if defined(MIRROR_X86)
Kernels avx2_kernels();
Kernels avx512_kernels();  // but for count_block, which is the AVX2 one
void count_block_vpopcnt(const Block& block, int64_t first, int64_t last, int32_t* shared, int64_t stride);
#endif

// Those of the level that is selected.
Kernels selected_kernels();

}  // namespace overlap
}  // namespace mirror
