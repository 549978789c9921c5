// Feature maps of any storage type as numbers of T, and pooled numbers back in the storage type.
#pragma once

#include <cstdint>
#include <limits>

#include "core/half.h"
#include "mirror/pooling.h"

namespace mirror {
namespace pooling {

// float64 is pooled as double, everything else as float.
template <class T>
constexpr Scalar kOwn = sizeof(T) == 8 ? Scalar::kFloat64 : Scalar::kFloat32;

template <class T>
T read(const void* data, Scalar scalar, int64_t at) {
  switch (scalar) {
    case Scalar::kBFloat16:
      return widen_bf16(static_cast<const uint16_t*>(data)[at]);
    case Scalar::kFloat16:
      return widen_fp16(static_cast<const uint16_t*>(data)[at]);
    default:
      return static_cast<const T*>(data)[at];
  }
}

// A zero of either sign becomes +0.
template <class T>
void write(void* data, Scalar scalar, int64_t at, T x) {
  x += T(0);
  switch (scalar) {
    case Scalar::kBFloat16:
      static_cast<uint16_t*>(data)[at] = narrow_bf16(static_cast<float>(x));
      break;
    case Scalar::kFloat16:
      static_cast<uint16_t*>(data)[at] = narrow_fp16(static_cast<float>(x));
      break;
    default:
      static_cast<T*>(data)[at] = x;
  }
}

// out[i] = element at + i * step
template <class T>
void read_line(const FeatureMaps& maps, int64_t at, int64_t step, int64_t count, T* out) {
  const auto widen = [&](const auto* data, auto convert) {
    if (step == 1)
      for (int64_t i = 0; i < count; ++i) out[i] = convert(data[at + i]);
    else
      for (int64_t i = 0; i < count; ++i) out[i] = convert(data[at + i * step]);
  };
  switch (maps.scalar) {
    case Scalar::kBFloat16:
      return widen(static_cast<const uint16_t*>(maps.data), widen_bf16);
    case Scalar::kFloat16:
      return widen(static_cast<const uint16_t*>(maps.data), widen_fp16);
    default:
      return widen(static_cast<const T*>(maps.data), [](T x) { return x; });
  }
}

template <class T>
void write_line(void* data, Scalar scalar, int64_t at, int64_t count, const T* x) {
  if (scalar == kOwn<T>) {
    T* const out = static_cast<T*>(data) + at;
    for (int64_t i = 0; i < count; ++i) out[i] = x[i] + T(0);
    return;
  }
  for (int64_t i = 0; i < count; ++i) write(data, scalar, at + i, x[i]);
}

// Is it the same step from every cell of a map to the next, at the end of a row too?
inline bool evenly_spaced(const FeatureMaps& maps) {
  return maps.height <= 1 || maps.strides[2] == maps.width * maps.strides[3];
}

// Are a map's cells one after another in memory?
inline bool flat(const FeatureMaps& maps) {
  return (maps.strides[3] == 1 || maps.width <= 1) && (maps.strides[2] == maps.width || maps.height <= 1);
}

// The maximum of cells shown one by one in row-major order, NaNs and all. `sign` -1: the minimum.
template <class T>
class Extreme {
 public:
  explicit Extreme(T sign = 1) : sign_(sign) {}
  void take(T x, int64_t position) {
    if (nan_ || (where_ >= 0 && x * sign_ <= best_ * sign_)) return;
    best_ = x;
    where_ = position;
    nan_ = x != x;
  }
  T value() const { return nan_ ? std::numeric_limits<T>::quiet_NaN() : best_; }
  int32_t position() const { return static_cast<int32_t>(where_); }

 private:
  T sign_, best_ = 0;
  int64_t where_ = -1;
  bool nan_ = false;
};

}  // namespace pooling
}  // namespace mirror
