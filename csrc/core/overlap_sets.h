// Visible sets on CUDA, for visible_triangles and rasterize_visible: how the ids of a few views become sets.
#pragma once

#include <cstdint>

#include "mirror/cuda.h"

namespace mirror {
namespace cuda {

struct SetWork {
  const int32_t* ids;  // [views, pixels], each `step` behind the one before
  int64_t step;
  int64_t pixels;
  int64_t faces, words;
  int64_t min_pixels;
  uint64_t* bitsets;  // [views, words], zeros where min_pixels = 1
  int64_t* counts;    // [views], zeros
  uint32_t* owned;    // [views, faces] where min_pixels > 1: scratch, for the pixels of each triangle
};

// `views` <= kMaxGridY.
void launch_sets(const char* op, const SetWork& work, int64_t views, Stream stream);

}  // namespace cuda
}  // namespace mirror
