// Launch of local similarity support.
#include "core/similarity_support.cuh"

#include "core/launch_cuda.h"

namespace mirror {
namespace cuda {

size_t similarity_support_workspace(int64_t total) {
  Pieces pieces;
  pieces.take<LocatedMatch>(total);
  pieces.take<int32_t>(total);
  return pieces.used();
}

void similarity_support(const Keypoints& a, const Keypoints& b, const int64_t* pairs, int64_t count,
                        const int32_t* matches, const float* ratios, const int64_t* offsets, int64_t total,
                        const SupportOptions& options, float* evidence, uint8_t* good,
                        const Workspace& workspace, Stream stream) {
  constexpr const char* op = "similarity_support";
  check(cudaGetLastError(), op);
  Pieces pieces(workspace, op);
  LocatedMatch* const located = pieces.take<LocatedMatch>(total);
  int32_t* const supporters = pieces.take<int32_t>(total);
  launch(op, stream, count_support, {count}, 256, 0,
         SupportWork{a, b, pairs, matches, ratios, offsets, options, located, supporters, evidence, good});
}

}  // namespace cuda
}  // namespace mirror
