#include "mirror/similarity_support.h"

#include <tuple>

#include "torch_ops/arguments.h"

namespace mirror::torch_ops {
namespace {

std::tuple<Tensor, Tensor> similarity_support(
    const Tensor& keypoints, const OptionalTensor& sizes, const Tensor& diagonals, const Tensor& pairs,
    const Tensor& matches, const Tensor& ratios, const Tensor& offsets, const OptionalTensor& other,
    const OptionalTensor& other_sizes, const OptionalTensor& other_diagonals, double near, double far,
    double tolerance, double min_share, double min_support, double weak) {
  Inputs in("similarity_support", keypoints);
  const bindings::SupportArguments args = support_arguments(
      in, keypoints, sizes, diagonals, pairs, matches, ratios, offsets, other, other_sizes, other_diagonals);
  const SupportOptions options{near, far, tolerance, min_share, min_support, weak};
  bindings::check_options(options);
  bindings::check_values(args);
  const Tensor evidence = make(keypoints, {args.count}, ScalarType::Float);
  const Tensor good = make(keypoints, {args.total}, ScalarType::Bool);
  mirror::similarity_support(args.a, args.b, args.pairs, args.count, args.matches, args.ratios, args.offsets,
                             options, data<float>(evidence), data<uint8_t>(good), torch_threads());
  return {evidence, good};
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CPU, m) {
  m.impl("similarity_support", TORCH_BOX(&mirror::torch_ops::similarity_support));
}
