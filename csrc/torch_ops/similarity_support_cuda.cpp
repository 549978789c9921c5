// The CUDA twin of similarity_support.cpp. Values lie on the device and are not checked here.
#include <tuple>

#include "torch_ops/arguments.h"
#include "torch_ops/cuda.h"

namespace mirror::torch_ops {
namespace {

std::tuple<Tensor, Tensor> similarity_support(
    const Tensor& keypoints, const OptionalTensor& sizes, const Tensor& diagonals, const Tensor& pairs,
    const Tensor& matches, const Tensor& ratios, const Tensor& offsets, const OptionalTensor& other,
    const OptionalTensor& other_sizes, const OptionalTensor& other_diagonals, double near, double far,
    double tolerance, double min_share, double min_support, double weak) {
  Inputs in("similarity_support", keypoints);
  CudaCall call(keypoints);
  const bindings::SupportArguments args = support_arguments(
      in, keypoints, sizes, diagonals, pairs, matches, ratios, offsets, other, other_sizes, other_diagonals);
  const SupportOptions options{near, far, tolerance, min_share, min_support, weak};
  bindings::check_options(options);
  const Tensor evidence = make(keypoints, {args.count}, ScalarType::Float);
  const Tensor good = make(keypoints, {args.total}, ScalarType::Bool);
  cuda::similarity_support(args.a, args.b, args.pairs, args.count, args.matches, args.ratios, args.offsets,
                           args.total, options, data<float>(evidence), data<uint8_t>(good),
                           call.workspace(cuda::similarity_support_workspace(args.total)), call.stream());
  return {evidence, good};
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CUDA, m) {
  m.impl("similarity_support", TORCH_BOX(&mirror::torch_ops::similarity_support));
}
