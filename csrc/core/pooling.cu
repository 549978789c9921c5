// Launches of max pooling and its gradient.
#include "core/pooling.cuh"

#include "core/launch_cuda.h"

namespace mirror {
namespace cuda {
namespace {

bool channels_beside(const FeatureMaps& maps) { return maps.strides[1] == 1 && maps.channels > 1; }

// Calls launch_as(storage) with the type of the features.
template <class LaunchAs>
void with_storage(Scalar scalar, const LaunchAs& launch_as) {
  switch (scalar) {
    case Scalar::kFloat32:
      return launch_as(StoredFloat());
    case Scalar::kFloat64:
      return launch_as(StoredDouble());
    case Scalar::kBFloat16:
      return launch_as(StoredBFloat16());
    case Scalar::kFloat16:
      return launch_as(StoredFloat16());
  }
}

void check_maps(const char* op, const FeatureMaps& maps) {
  if (maps.width > 0 && maps.height > INT32_MAX / maps.width)
    throw std::invalid_argument(std::string(op) +
                                ": features: expected maps of at most 2147483647 cells, got " +
                                std::to_string(maps.height) + " x " + std::to_string(maps.width));
  check(cudaGetLastError(), op);
}

}  // namespace

void region_max_pool(const FeatureMaps& features, const Boxes& boxes, void* pooled, int32_t* argmax,
                     Stream stream) {
  constexpr const char* op = "region_max_pool";
  check_maps(op, features);
  if (boxes.count == 0) return;
  const PoolWork work{features, boxes, nullptr, pooled, argmax};
  with_storage(features.scalar, [&](auto storage) {
    using Storage = decltype(storage);
    if (channels_beside(features))
      launch(op, stream, pool_regions_of_channels<Storage>,
             {features.images * ceil_div(features.channels, 32)}, kPoolThreads, 0, work);
    else
      launch(op, stream, pool_regions_of_planes<Storage>,
             {features.images * ceil_div(features.channels, kPoolWarps)}, kPoolThreads, 0, work);
  });
}

void masked_max_pool(const FeatureMaps& features, const uint8_t* mask, void* pooled, int32_t* argmax,
                     Stream stream) {
  constexpr const char* op = "masked_max_pool";
  check_maps(op, features);
  if (features.images == 0 || features.channels == 0) return;
  if (features.height == 0 || features.width == 0)
    throw std::invalid_argument(std::string(op) + ": features: expected at least one cell, got a map of " +
                                std::to_string(features.height) + " x " + std::to_string(features.width));
  const PoolWork work{features, {}, mask, pooled, argmax};
  with_storage(features.scalar, [&](auto storage) {
    using Storage = decltype(storage);
    constexpr int64_t kShared = kPoolThreads * (sizeof(typename Storage::Value) + sizeof(int32_t));
    if (channels_beside(features))
      launch(op, stream, pool_masks_of_channels<Storage>, {features.images * ceil_div(features.channels, 32)},
             kPoolThreads, kShared, work);
    else
      launch(op, stream, pool_masks_of_planes<Storage>,
             {features.images * ceil_div(features.channels, kPoolWarps)}, kPoolThreads, 0, work);
  });
}

void max_pool_backward(const void* grad, const int32_t* argmax, int64_t boxes, const FeatureMaps& gradient,
                       Stream stream) {
  constexpr const char* op = "max_pool_backward";
  check_maps(op, gradient);
  const bool wide = gradient.scalar == Scalar::kFloat64;
  if (!wide && gradient.scalar != Scalar::kFloat32)
    throw std::invalid_argument(std::string(op) +
                                ": gradient: expected float32 or float64, got a 16-bit type");
  const int64_t rows = gradient.images * gradient.channels, cells = gradient.height * gradient.width;
  if (rows * cells == 0) return;
  const size_t bytes = static_cast<size_t>(rows * cells) * (wide ? sizeof(double) : sizeof(float));
  check(cudaMemsetAsync(const_cast<void*>(gradient.data), 0, bytes, stream), op);
  const Grid blocks = {ceil_div(rows, kPoolThreads)};
  if (wide)
    launch(op, stream, pool_gradient<double>, blocks, kPoolThreads, 0, static_cast<const double*>(grad),
           argmax, boxes, gradient);
  else
    launch(op, stream, pool_gradient<float>, blocks, kPoolThreads, 0, static_cast<const float*>(grad), argmax,
           boxes, gradient);
}

}  // namespace cuda
}  // namespace mirror
