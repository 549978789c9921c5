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

// One row of an id map as runs of equal ids. The last run is empty and starts where the row ends.
struct Runs {
  const int32_t* ids;      // [count], 0 where there is no triangle
  const int32_t* starts;   // [count], in pixels
  const int32_t* lengths;  // [count], 0 where there is no triangle
  int64_t count;
};

struct Kernels {
  // Where in ids [count >= 1] another number begins: starts, rising, the first 0. There is room for count + 8. How many
  // they are. Bit i of mask [count / 64 + 1] says whether one begins at i; so does bit `count`.
  int64_t (*run_starts)(const int32_t* ids, int64_t count, int32_t* starts, uint64_t* mask);

  // The number of the run that each of the pixels, rising, lies in.
  void (*runs_at)(const uint64_t* mask, const int32_t* pixels, int64_t count, int32_t* runs);

  // Adds to areas[c] `height` times the area of the row left of edge c whose triangles are in the set; a pixel is `step`
  // wide. at[c] is the run of edge c. prefix: room for runs.count + 1.
  void (*add_row)(const Runs& runs, const uint64_t* bits, const int64_t* edges, const int32_t* at,
                  int64_t count, int64_t step, int64_t height, int32_t* prefix, int64_t* areas);

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
