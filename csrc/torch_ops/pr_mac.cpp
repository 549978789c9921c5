#include "mirror/pr_mac.h"

#include <string>
#include <tuple>

#include "torch_ops/arguments.h"

namespace mirror::torch_ops {
namespace {

using bindings::RegionArguments;

ScalarType score_type(const RegionArguments& args) {
  return args.scores == DType::kFloat64 ? ScalarType::Double : ScalarType::Float;
}

std::tuple<Tensor, Tensor> pr_mac(const Tensor& query, const OptionalTensor& target,
                                  const OptionalTensor& query_sizes, const OptionalTensor& target_sizes,
                                  const std::string& reduction, const std::string& precision,
                                  bool with_argmax) {
  constexpr const char* op = "pr_mac";
  Inputs in(op, query);
  const RegionArguments args = region_arguments(op, in, query, target, query_sizes, target_sizes, reduction);
  const Precision chosen = bindings::precision_of(op, precision);
  bindings::check_values(op, args);
  const int64_t images = args.query.images, targets = args.target.images;
  const Tensor scores = make(query, {images, targets}, score_type(args));
  const Tensor argmax =
      make(query, {images, targets, with_argmax ? args.query.capacity : 0}, ScalarType::Int);
  int32_t* matched = with_argmax ? data<int32_t>(argmax) : nullptr;
  if (args.self)
    pr_mac_self(args.query, args.reduction, chosen, scores.mutable_data_ptr(), matched, torch_threads());
  else
    mirror::pr_mac(args.query, args.target, args.reduction, chosen, scores.mutable_data_ptr(), matched,
                   torch_threads());
  return {scores, argmax};
}

std::tuple<Tensor, Tensor> pr_mac_backward(const Tensor& grad, const Tensor& query, const Tensor& target,
                                           const OptionalTensor& query_sizes,
                                           const OptionalTensor& target_sizes, const Tensor& scores,
                                           const Tensor& argmax, const std::string& reduction) {
  constexpr const char* op = "pr_mac_backward";
  Inputs in(op, query);
  const BackwardArguments args =
      backward_arguments(op, in, grad, query, target, query_sizes, target_sizes, scores, argmax, reduction,
                         {DType::kFloat32, DType::kFloat64});
  const Regions &a = args.regions.query, &b = args.regions.target;
  bindings::check_values(op, args.regions);
  const Tensor grad_query = make_like(query, a), grad_target = make_like(query, b);
  mirror::pr_mac_backward(a, b, args.regions.reduction, args.grad.data, args.scores.data,
                          args.argmax.as<int32_t>(), grad_query.mutable_data_ptr(),
                          grad_target.mutable_data_ptr(), torch_threads());
  return {grad_query, grad_target};
}

std::tuple<Tensor, Tensor> pr_mac_topk(const Tensor& query, const OptionalTensor& target,
                                       const OptionalTensor& query_sizes, const OptionalTensor& target_sizes,
                                       int64_t k, const std::string& reduction, const std::string& precision,
                                       int64_t margin, bool certified) {
  constexpr const char* op = "pr_mac_topk";
  Inputs in(op, query);
  const RegionArguments args = region_arguments(op, in, query, target, query_sizes, target_sizes, reduction);
  const TopKOptions options = bindings::topk_options(k, precision, margin, certified);
  bindings::check_values(op, args);
  const Tensor values = make(query, {args.query.images, k}, score_type(args));
  const Tensor indices = make(query, {args.query.images, k}, ScalarType::Long);
  if (args.self)
    pr_mac_topk_self(args.query, args.reduction, options, values.mutable_data_ptr(), data<int64_t>(indices),
                     torch_threads());
  else
    mirror::pr_mac_topk(args.query, args.target, args.reduction, options, values.mutable_data_ptr(),
                        data<int64_t>(indices), torch_threads());
  return {values, indices};
}

Tensor pr_mac_rerank(const Tensor& query, const Tensor& target, const Tensor& candidates,
                     const OptionalTensor& query_sizes, const OptionalTensor& target_sizes,
                     const std::string& reduction) {
  constexpr const char* op = "pr_mac_rerank";
  Inputs in(op, query);
  const RegionArguments args = region_arguments(op, in, query, target, query_sizes, target_sizes, reduction);
  const Array listed = in("candidates", candidates);
  bindings::expect_candidates(listed, args);
  bindings::check_values(op, args);
  bindings::check_candidates(listed, args);
  const Tensor scores = make(query, {args.query.images, listed.size(1)}, score_type(args));
  mirror::pr_mac_rerank(args.query, args.target, listed.as<int64_t>(), listed.size(1), args.reduction,
                        scores.mutable_data_ptr(), torch_threads());
  return scores;
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CPU, m) {
  m.impl("pr_mac", TORCH_BOX(&mirror::torch_ops::pr_mac));
  m.impl("pr_mac_backward", TORCH_BOX(&mirror::torch_ops::pr_mac_backward));
  m.impl("pr_mac_topk", TORCH_BOX(&mirror::torch_ops::pr_mac_topk));
  m.impl("pr_mac_rerank", TORCH_BOX(&mirror::torch_ops::pr_mac_rerank));
}
