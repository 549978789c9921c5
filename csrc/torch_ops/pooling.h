// What pooling.cpp and pooling_cuda.cpp share: shapes of results.
#pragma once

#include <initializer_list>
#include <string>

#include "torch_ops/arguments.h"

namespace mirror::torch_ops {

struct PooledGradient {
  Array grad, argmax;  // [B, R, C]
};
inline PooledGradient pooled_gradient(const char* op, Inputs& in, const Tensor& grad, const Tensor& argmax,
                                      const FeatureMaps& maps, std::initializer_list<DType> dtypes) {
  const PooledGradient pooled{in("grad", grad), in("argmax", argmax)};
  const std::string images = std::to_string(maps.images), channels = std::to_string(maps.channels);
  bindings::expect(op, "grad", pooled.grad, dtypes, "[" + images + ", R, " + channels + "]");
  bindings::expect(op, "argmax", pooled.argmax, {DType::kInt32},
                   "[" + images + ", " + std::to_string(pooled.grad.size(1)) + ", " + channels + "]");
  return pooled;
}

// The maps of a gradient: uninitialised, of the shape of `features`, channels side by side where they are so there.
struct GradientMaps {
  Tensor tensor;
  FeatureMaps maps;
};
inline GradientMaps gradient_maps(const Tensor& features, const FeatureMaps& like, const Tensor& grad) {
  const bool beside = like.strides[1] == 1 && like.channels > 1;
  const int64_t b = like.images, c = like.channels, h = like.height, w = like.width;
  const ScalarType type = grad.scalar_type();
  Tensor tensor = beside ? make(features, {b, h, w, c}, type) : make(features, {b, c, h, w}, type);
  if (beside) tensor = torch::stable::transpose(torch::stable::transpose(tensor, 1, 3), 2, 3);
  FeatureMaps maps{tensor.mutable_data_ptr(),
                   b,
                   c,
                   h,
                   w,
                   {},
                   type == ScalarType::Double ? Scalar::kFloat64 : Scalar::kFloat32};
  const auto strides = tensor.strides();
  for (size_t i = 0; i < 4; ++i) maps.strides[i] = strides[i];
  return {tensor, maps};
}

}  // namespace mirror::torch_ops
