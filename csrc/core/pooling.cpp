// Max pooling: checks, the choice of instructions, and the gradient.
#include "mirror/pooling.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "core/float_mode.h"
#include "core/huge_pages.h"
#include "core/isa.h"
#include "core/pooling_maps.h"
#include "core/pooling_run.h"
#include "core/tasks.h"

namespace mirror {
namespace {

using namespace pooling;

[[noreturn]] void fail(const char* op, const std::string& message) {
  throw std::invalid_argument(std::string(op) + ": " + message);
}

void check_maps(const char* op, const FeatureMaps& maps) {
  for (const int64_t length : {maps.images, maps.channels, maps.height, maps.width})
    if (length < 0)
      fail(op, "features: expected a shape without negative numbers, got " + std::to_string(length));
  if (maps.width > 0 && maps.height > INT32_MAX / maps.width)
    fail(op, "features: expected maps of at most 2147483647 cells, got " + std::to_string(maps.height) +
                 " x " + std::to_string(maps.width));
}

template <class T>
Kernels<T> kernels_for(Isa isa) {
#if defined(MIRROR_X86)
  if (isa >= Isa::kAvx512) return avx512_kernels<T>();
  if (isa >= Isa::kAvx2) return avx2_kernels<T>();
#endif
  static_cast<void>(isa);
  return portable_kernels<T>();
}

template <class Pool>
void with_kernels(Scalar scalar, const Pool& pool) {
  const Isa isa = isa_selected();
  if (scalar == Scalar::kFloat64)
    pool(kernels_for<double>(isa));
  else
    pool(kernels_for<float>(isa));
}

// Which images and channels one task of the gradient writes: blocks of channels that lie side by side, else planes.
constexpr int64_t kChannelsOfTask = 64;

template <class T>
class Scatter {
 public:
  Scatter(const T* grad, const int32_t* argmax, int64_t boxes, const FeatureMaps& gradient)
      : grad_(grad), argmax_(argmax), boxes_(boxes), maps_(gradient), even_(evenly_spaced(gradient)) {}

  int64_t tasks() const { return maps_.images * chunks(); }

  void operator()(int64_t task) const {
    const FloatMode mode;
    const int64_t image = task / chunks(), first = task % chunks() * kChannelsOfTask;
    const int64_t channels = std::min(kChannelsOfTask, maps_.channels - first);
    T* const out =
        static_cast<T*>(const_cast<void*>(maps_.data)) + image * maps_.strides[0] + first * maps_.strides[1];
    clear(out, channels);
    const int64_t cells = maps_.height * maps_.width;
    for (int64_t box = 0; box < boxes_; ++box) {
      const int64_t at = (image * boxes_ + box) * maps_.channels + first;
      for (int64_t l = 0; l < channels; ++l) {
        const int32_t cell = argmax_[at + l];
        if (cell < 0 || cell >= cells)
          fail("max_pool_backward",
               "argmax: expected cells 0.." + std::to_string(cells - 1) + ", got " + std::to_string(cell));
        out[l * maps_.strides[1] + offset(cell)] += grad_[at + l];
      }
    }
  }

 private:
  int64_t chunks() const { return (maps_.channels + kChannelsOfTask - 1) / kChannelsOfTask; }
  int64_t offset(int32_t cell) const {
    const int32_t width = static_cast<int32_t>(maps_.width);
    return even_ ? cell * maps_.strides[3]
                 : cell / width * maps_.strides[2] + cell % width * maps_.strides[3];
  }

  // In the order of memory where the layout is one of the usual two.
  void clear(T* out, int64_t channels) const {
    const int64_t *s = maps_.strides, cells = maps_.height * maps_.width;
    if (s[1] == 1 && channels > 1)
      for (int64_t r = 0; r < maps_.height; ++r)
        for (int64_t c = 0; c < maps_.width; ++c) std::fill_n(out + r * s[2] + c * s[3], channels, T(0));
    else if (even_ && s[3] == 1)
      for (int64_t l = 0; l < channels; ++l) std::fill_n(out + l * s[1], cells, T(0));
    else
      for (int64_t l = 0; l < channels; ++l)
        for (int64_t i = 0; i < cells; ++i) out[l * s[1] + offset(static_cast<int32_t>(i))] = T(0);
  }

  const T* grad_;
  const int32_t* argmax_;
  int64_t boxes_;
  const FeatureMaps& maps_;
  bool even_;  // one step from any cell to the next
};

template <class T>
void backward(const void* grad, const int32_t* argmax, int64_t boxes, const FeatureMaps& gradient,
              const Parallel& parallel) {
  if (evenly_spaced(gradient) && (gradient.strides[1] == 1 || gradient.strides[3] == 1)) {  // dense
    const int64_t cells = gradient.images * gradient.channels * gradient.height * gradient.width;
    wish_huge_pages(const_cast<void*>(gradient.data), static_cast<size_t>(cells) * sizeof(T));
  }
  const Scatter<T> scatter(static_cast<const T*>(grad), argmax, boxes, gradient);
  run_tasks(parallel, scatter.tasks(), [&] { return [&](int64_t task) { scatter(task); }; });
}

}  // namespace

void region_max_pool(const FeatureMaps& features, const Boxes& boxes, void* pooled, int32_t* argmax,
                     const Parallel& parallel) {
  check_maps("region_max_pool", features);
  const std::vector<Box> regions = read_boxes(boxes, features.height, features.width);
  if (regions.empty()) return;
  with_kernels(features.scalar, [&](const auto& kernels) {
    pool_regions(kernels, features, regions, pooled, argmax, parallel);
  });
}

void masked_max_pool(const FeatureMaps& features, const uint8_t* mask, void* pooled, int32_t* argmax,
                     const Parallel& parallel) {
  constexpr const char* op = "masked_max_pool";
  check_maps(op, features);
  if (features.images == 0 || features.channels == 0) return;
  if (features.height == 0 || features.width == 0)
    fail(op, "features: expected at least one cell, got a map of " + std::to_string(features.height) + " x " +
                 std::to_string(features.width));
  with_kernels(features.scalar,
               [&](const auto& kernels) { pool_masks(kernels, features, mask, pooled, argmax, parallel); });
}

void max_pool_backward(const void* grad, const int32_t* argmax, int64_t boxes, const FeatureMaps& gradient,
                       const Parallel& parallel) {
  constexpr const char* op = "max_pool_backward";
  check_maps(op, gradient);
  if (gradient.scalar == Scalar::kFloat64)
    backward<double>(grad, argmax, boxes, gradient, parallel);
  else if (gradient.scalar == Scalar::kFloat32)
    backward<float>(grad, argmax, boxes, gradient, parallel);
  else
    fail(op, "gradient: expected float32 or float64, got a 16-bit type");
}

}  // namespace mirror
