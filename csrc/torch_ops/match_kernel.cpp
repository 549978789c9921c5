#include "mirror/match_kernel.h"

#include <tuple>

#include "bindings/match_lists.h"
#include "torch_ops/arguments.h"

namespace mirror::torch_ops {
namespace {

using bindings::MatchArguments;

Tensor match_kernel(const Tensor& descriptors, const OptionalTensor& sizes, const OptionalTensor& other,
                    const OptionalTensor& other_sizes, const OptionalTensor& pairs, int64_t depth) {
  constexpr const char* op = "match_kernel";
  Inputs in(op, descriptors);
  const MatchArguments args = match_arguments(op, in, descriptors, sizes, other, other_sizes, pairs, depth);
  bindings::check_values(op, args);
  if (args.pairs != nullptr) {
    const Tensor scores = make(descriptors, {args.count}, ScalarType::Float);
    match_kernel_pairs(args.a, args.b, args.pairs, args.count, depth, data<float>(scores), torch_threads());
    return scores;
  }
  const Tensor scores = make(descriptors, {args.a.images, args.b.images}, ScalarType::Float);
  if (args.self)
    match_kernel_self(args.a, depth, data<float>(scores), torch_threads());
  else
    mirror::match_kernel(args.a, args.b, depth, data<float>(scores), torch_threads());
  return scores;
}

std::tuple<Tensor, Tensor, Tensor> mutual_matches(const Tensor& descriptors, const OptionalTensor& sizes,
                                                  const OptionalTensor& other,
                                                  const OptionalTensor& other_sizes, const Tensor& pairs,
                                                  int64_t depth, double max_ratio, bool exact) {
  constexpr const char* op = "mutual_matches";
  Inputs in(op, descriptors);
  const MatchArguments args = match_arguments(op, in, descriptors, sizes, other, other_sizes, pairs, depth);
  bindings::check_values(op, args);
  bindings::MatchLists lists(args.count);
  mirror::mutual_matches(args.a, args.b, args.pairs, args.count, depth, static_cast<float>(max_ratio),
                         lists.sink(), torch_threads(), exact);
  const Tensor offsets = make(descriptors, {args.count + 1}, ScalarType::Long);
  const int64_t total = lists.offsets(data<int64_t>(offsets));
  const Tensor matches = make(descriptors, {total, 2}, ScalarType::Int);
  const Tensor ratios = make(descriptors, {total, 2}, ScalarType::Float);
  lists.lay_out(data<int32_t>(matches), data<float>(ratios));
  return {matches, ratios, offsets};
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CPU, m) {
  m.impl("match_kernel", TORCH_BOX(&mirror::torch_ops::match_kernel));
  m.impl("mutual_matches", TORCH_BOX(&mirror::torch_ops::mutual_matches));
}
