// The CUDA twin of pr_mac.cpp. Values lie on the device and are not checked here.
#include <string>
#include <tuple>

#include "torch_ops/arguments.h"
#include "torch_ops/cuda.h"

namespace mirror::torch_ops {
namespace {

using bindings::RegionArguments;

std::tuple<Tensor, Tensor> pr_mac(const Tensor& query, const OptionalTensor& target,
                                  const OptionalTensor& query_sizes, const OptionalTensor& target_sizes,
                                  const std::string& reduction, const std::string& precision,
                                  bool with_argmax) {
  constexpr const char* op = "pr_mac";
  Inputs in(op, query);
  CudaCall call(query);
  const RegionArguments args = region_arguments(op, in, query, target, query_sizes, target_sizes, reduction);
  const Precision chosen = bindings::precision_of(op, precision);
  const int64_t images = args.query.images, targets = args.target.images;
  const Tensor scores = make(query, {images, targets}, ScalarType::Float);
  const Tensor argmax =
      make(query, {images, targets, with_argmax ? args.query.capacity : 0}, ScalarType::Int);
  int32_t* const matched = with_argmax ? data<int32_t>(argmax) : nullptr;
  const cuda::Workspace workspace =
      call.workspace(cuda::pr_mac_workspace(args.query, args.target, chosen, with_argmax));
  if (args.self)
    cuda::pr_mac_self(args.query, args.reduction, chosen, data<float>(scores), matched, workspace,
                      call.stream());
  else
    cuda::pr_mac(args.query, args.target, args.reduction, chosen, data<float>(scores), matched, workspace,
                 call.stream());
  return {scores, argmax};
}

std::tuple<Tensor, Tensor> pr_mac_backward(const Tensor& grad, const Tensor& query, const Tensor& target,
                                           const OptionalTensor& query_sizes,
                                           const OptionalTensor& target_sizes, const Tensor& scores,
                                           const Tensor& argmax, const std::string& reduction) {
  constexpr const char* op = "pr_mac_backward";
  Inputs in(op, query);
  CudaCall call(query);
  const BackwardArguments args = backward_arguments(op, in, grad, query, target, query_sizes, target_sizes,
                                                    scores, argmax, reduction, {DType::kFloat32});
  const Regions &a = args.regions.query, &b = args.regions.target;
  const Tensor grad_query = make_like(query, a), grad_target = make_like(query, b);
  cuda::pr_mac_backward(a, b, args.regions.reduction, args.grad.as<float>(), args.scores.as<float>(),
                        args.argmax.as<int32_t>(), data<float>(grad_query), data<float>(grad_target),
                        call.workspace(cuda::pr_mac_backward_workspace(a, b)), call.stream());
  return {grad_query, grad_target};
}

std::tuple<Tensor, Tensor> pr_mac_topk(const Tensor& query, const OptionalTensor& target,
                                       const OptionalTensor& query_sizes, const OptionalTensor& target_sizes,
                                       int64_t k, const std::string& reduction, const std::string& precision,
                                       int64_t margin, bool certified) {
  constexpr const char* op = "pr_mac_topk";
  Inputs in(op, query);
  CudaCall call(query);
  const RegionArguments args = region_arguments(op, in, query, target, query_sizes, target_sizes, reduction);
  const TopKOptions options = bindings::topk_options(k, precision, margin, certified);
  const Tensor values = make(query, {args.query.images, k}, ScalarType::Float);
  const Tensor indices = make(query, {args.query.images, k}, ScalarType::Long);
  const cuda::Workspace workspace =
      call.workspace(cuda::pr_mac_topk_workspace(args.query, args.target, options));
  if (args.self)
    cuda::pr_mac_topk_self(args.query, args.reduction, options, data<float>(values), data<int64_t>(indices),
                           workspace, call.stream());
  else
    cuda::pr_mac_topk(args.query, args.target, args.reduction, options, data<float>(values),
                      data<int64_t>(indices), workspace, call.stream());
  return {values, indices};
}

Tensor pr_mac_rerank(const Tensor& query, const Tensor& target, const Tensor& candidates,
                     const OptionalTensor& query_sizes, const OptionalTensor& target_sizes,
                     const std::string& reduction) {
  constexpr const char* op = "pr_mac_rerank";
  Inputs in(op, query);
  CudaCall call(query);
  const RegionArguments args = region_arguments(op, in, query, target, query_sizes, target_sizes, reduction);
  const Array listed = in("candidates", candidates);
  bindings::expect_candidates(listed, args);
  const Tensor scores = make(query, {args.query.images, listed.size(1)}, ScalarType::Float);
  cuda::pr_mac_rerank(args.query, args.target, listed.as<int64_t>(), listed.size(1), args.reduction,
                      data<float>(scores),
                      call.workspace(cuda::pr_mac_rerank_workspace(args.query, args.target)), call.stream());
  return scores;
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CUDA, m) {
  m.impl("pr_mac", TORCH_BOX(&mirror::torch_ops::pr_mac));
  m.impl("pr_mac_backward", TORCH_BOX(&mirror::torch_ops::pr_mac_backward));
  m.impl("pr_mac_topk", TORCH_BOX(&mirror::torch_ops::pr_mac_topk));
  m.impl("pr_mac_rerank", TORCH_BOX(&mirror::torch_ops::pr_mac_rerank));
}
