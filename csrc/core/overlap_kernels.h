// What the instruction sets differ in.
#pragma once

#include <cstdint>

namespace mirror {
namespace overlap {

// Triangles of a block. Blocks that are empty in a set cost nothing.
constexpr int64_t kBlockWords = 8;

struct Kernels {
  // Where in ids [count] another number begins: starts, rising, the first 0 (count >= 1). There is room for
  // count + 16. How many they are.
  int64_t (*run_starts)(const int32_t* ids, int64_t count, int32_t* starts);
};

Kernels portable_kernels();
Kernels kernels();  // of the level that is selected

}  // namespace overlap
}  // namespace mirror
