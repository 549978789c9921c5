// The CUDA twin of match_kernel.cpp. Values lie on the device and are not checked here.
#include <stdexcept>
#include <string>
#include <tuple>

#include "torch_ops/arguments.h"
#include "torch_ops/cuda.h"

namespace mirror::torch_ops {
namespace {

using bindings::MatchArguments;

Tensor match_kernel(const Tensor& descriptors, const OptionalTensor& sizes, const OptionalTensor& other,
                    const OptionalTensor& other_sizes, const OptionalTensor& pairs, int64_t depth) {
  constexpr const char* op = "match_kernel";
  Inputs in(op, descriptors);
  CudaCall call(descriptors);
  const MatchArguments args = match_arguments(op, in, descriptors, sizes, other, other_sizes, pairs, depth);
  const cuda::Workspace workspace = call.workspace(cuda::match_kernel_workspace(args.a, args.b, depth));
  if (args.pairs != nullptr) {
    const Tensor scores = make(descriptors, {args.count}, ScalarType::Float);
    cuda::match_kernel_pairs(args.a, args.b, args.pairs, args.count, depth, data<float>(scores), workspace,
                             call.stream());
    return scores;
  }
  const Tensor scores = make(descriptors, {args.a.images, args.b.images}, ScalarType::Float);
  if (args.self)
    cuda::match_kernel_self(args.a, depth, data<float>(scores), workspace, call.stream());
  else
    cuda::match_kernel(args.a, args.b, depth, data<float>(scores), workspace, call.stream());
  return scores;
}

std::tuple<Tensor, Tensor, Tensor> mutual_matches(const Tensor& descriptors, const OptionalTensor& sizes,
                                                  const OptionalTensor& other,
                                                  const OptionalTensor& other_sizes, const Tensor& pairs,
                                                  int64_t depth, double max_ratio, bool exact) {
  constexpr const char* op = "mutual_matches";
  if (!exact)
    throw std::invalid_argument(std::string(op) + ": exact: expected True for CUDA tensors, got False");
  Inputs in(op, descriptors);
  CudaCall call(descriptors);
  const MatchArguments args = match_arguments(op, in, descriptors, sizes, other, other_sizes, pairs, depth);
  const float below = static_cast<float>(max_ratio);
  const cuda::Workspace workspace = call.workspace(cuda::match_kernel_workspace(args.a, args.b, depth));
  const Tensor offsets = make(descriptors, {args.count + 1}, ScalarType::Long);
  cuda::mutual_matches_offsets(args.a, args.b, args.pairs, args.count, depth, below, data<int64_t>(offsets),
                               workspace, call.stream());
  const int64_t total = cuda::read_back(data<int64_t>(offsets) + args.count, call.stream());
  const Tensor matches = make(descriptors, {total, 2}, ScalarType::Int);
  const Tensor ratios = make(descriptors, {total, 2}, ScalarType::Float);
  if (total > 0)
    cuda::mutual_matches_fill(args.a, args.b, args.pairs, args.count, depth, below, data<int64_t>(offsets),
                              data<int32_t>(matches), data<float>(ratios), workspace, call.stream());
  return {matches, ratios, offsets};
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CUDA, m) {
  m.impl("match_kernel", TORCH_BOX(&mirror::torch_ops::match_kernel));
  m.impl("mutual_matches", TORCH_BOX(&mirror::torch_ops::mutual_matches));
}
