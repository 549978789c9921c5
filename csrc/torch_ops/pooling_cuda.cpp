// The CUDA twin of pooling.cpp. Values lie on the device and are not checked here.
#include <tuple>

#include "torch_ops/cuda.h"
#include "torch_ops/pooling.h"

namespace mirror::torch_ops {
namespace {

std::tuple<Tensor, Tensor> region_max_pool(const Tensor& features, const Tensor& boxes, bool with_argmax) {
  constexpr const char* op = "region_max_pool";
  Inputs in(op, features);
  CudaCall call(features);
  const FeatureMaps maps = bindings::feature_maps(op, in.strided("features", features), bindings::kPooled);
  const Boxes regions = bindings::boxes_of(in("boxes", boxes));
  const Tensor pooled = make(features, {maps.images, regions.count, maps.channels}, features.scalar_type());
  const Tensor argmax =
      make(features, {maps.images, regions.count, with_argmax ? maps.channels : 0}, ScalarType::Int);
  cuda::region_max_pool(maps, regions, pooled.mutable_data_ptr(),
                        with_argmax ? data<int32_t>(argmax) : nullptr, call.stream());
  return {pooled, argmax};
}

std::tuple<Tensor, Tensor> masked_max_pool(const Tensor& features, const Tensor& mask, bool with_argmax) {
  constexpr const char* op = "masked_max_pool";
  Inputs in(op, features);
  CudaCall call(features);
  const FeatureMaps maps = bindings::feature_maps(op, in.strided("features", features), bindings::kPooled);
  const uint8_t* const cells = bindings::mask_of(in("mask", mask), maps);
  const Tensor pooled = make(features, {maps.images, maps.channels}, features.scalar_type());
  const Tensor argmax = make(features, {maps.images, with_argmax ? maps.channels : 0}, ScalarType::Int);
  cuda::masked_max_pool(maps, cells, pooled.mutable_data_ptr(), with_argmax ? data<int32_t>(argmax) : nullptr,
                        call.stream());
  return {pooled, argmax};
}

Tensor max_pool_backward(const Tensor& grad, const Tensor& features, const Tensor& argmax) {
  constexpr const char* op = "max_pool_backward";
  Inputs in(op, features);
  CudaCall call(features);
  const FeatureMaps maps = bindings::feature_maps(op, in.strided("features", features), bindings::kPooled);
  const PooledGradient pooled =
      pooled_gradient(op, in, grad, argmax, maps, {DType::kFloat32, DType::kFloat64});
  const GradientMaps gradient = gradient_maps(features, maps, grad);
  cuda::max_pool_backward(pooled.grad.data, pooled.argmax.as<int32_t>(), pooled.grad.size(1), gradient.maps,
                          call.stream());
  return gradient.tensor;
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CUDA, m) {
  m.impl("region_max_pool", TORCH_BOX(&mirror::torch_ops::region_max_pool));
  m.impl("masked_max_pool", TORCH_BOX(&mirror::torch_ops::masked_max_pool));
  m.impl("max_pool_backward", TORCH_BOX(&mirror::torch_ops::max_pool_backward));
}
