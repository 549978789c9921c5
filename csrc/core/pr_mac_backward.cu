// Launches of the gradient of pr_mac.
#include "core/pr_mac_backward.cuh"

#include "core/launch_cuda.h"

namespace mirror {
namespace cuda {
namespace {

constexpr int kThreads = 128;

Side<float> side_of(const Regions& regions) {
  return {static_cast<const float*>(regions.data),
          regions.sizes,
          nullptr,
          nullptr,
          regions.images,
          static_cast<int32_t>(regions.capacity),
          static_cast<int32_t>(regions.channels)};
}

int64_t weight_count(const Regions& query, const Regions& target) {
  return query.images * target.images * query.capacity;
}

}  // namespace

size_t pr_mac_backward_workspace(const Regions& query, const Regions& target) {
  Pieces pieces;
  pieces.take<float>(weight_count(query, target));
  return pieces.used();
}

void pr_mac_backward(const Regions& query, const Regions& target, Reduction reduction, const float* grad,
                     const float* scores, const int32_t* argmax, float* grad_query, float* grad_target,
                     const Workspace& workspace, Stream stream) {
  constexpr const char* op = "pr_mac_backward";
  if (query.scalar != Scalar::kFloat32 || target.scalar != Scalar::kFloat32)
    throw std::invalid_argument(std::string(op) + ": query: expected float32 on CUDA, got another type");
  check(cudaGetLastError(), op);
  Pieces pieces(workspace, op);
  GradientWork work{side_of(query),
                    side_of(target),
                    reduction,
                    grad,
                    scores,
                    argmax,
                    pieces.take<float>(weight_count(query, target)),
                    grad_query,
                    grad_target};
  const int64_t pairs = query.images * target.images, query_regions = query.images * query.capacity;
  const Grid target_blocks = {target.images, ceil_div(target.channels, kThreads)};
  if (query.capacity > 0)
    launch(op, stream, gradient_weights, {ceil_div(pairs, kThreads / 32)}, kThreads, 0, work);
  launch(op, stream, gradient_of_query, {query_regions}, kThreads, 0, work);
  launch(op, stream, gradient_of_target, target_blocks, kThreads, 0, work);
}

}  // namespace cuda
}  // namespace mirror
