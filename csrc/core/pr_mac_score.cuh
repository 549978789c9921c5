// From maxima over regions to scores and to places in a ranking: the arithmetic of pr_mac that is not about tiles. The
// same operations in the same order as pr_mac_reduce.cpp and pr_mac_vectors.cpp have them on the CPU.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/device.cuh"
#include "core/host_device.h"
#include "mirror/pr_mac.h"

namespace mirror {
namespace cuda {

// ---- storage types --------------------------------------------------------------------------------------------------

MIRROR_HOST_DEVICE inline float float_of(uint32_t bits) {
  union {
    uint32_t bits;
    float value;
  } x = {bits};
  return x.value;
}
MIRROR_HOST_DEVICE inline uint32_t bits_of(float value) {
  union {
    float value;
    uint32_t bits;
  } x = {value};
  return x.bits;
}

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

MIRROR_HOST_DEVICE inline float to_float(float x) { return x; }
MIRROR_HOST_DEVICE inline float to_float(BFloat16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }
// One multiplication moves the exponent, subnormals included; infinity and NaN keep their mantissa.
MIRROR_HOST_DEVICE inline float to_float(Float16 x) {
  const uint32_t sign = (x.bits & 0x8000u) << 16, rest = (x.bits & 0x7fffu) << 13;
  const uint32_t finite = bits_of(float_of(rest) * 5.192296858534828e33f);  // 2^112
  return float_of(sign | ((x.bits & 0x7c00u) == 0x7c00u ? rest | 0x7f800000u : finite));
}

template <class To>
struct Convert;
template <>
struct Convert<float> {
  template <class From>
  MIRROR_HOST_DEVICE static float from(From x) {
    return to_float(x);
  }
};
template <>
struct Convert<BFloat16> {
  MIRROR_HOST_DEVICE static BFloat16 from(BFloat16 x) { return x; }
  MIRROR_HOST_DEVICE static BFloat16 from(float x) {  // nearest, ties to even
    const uint32_t bits = bits_of(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fc0};
    return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
  }
};
template <>
struct Convert<Float16> {
  MIRROR_HOST_DEVICE static Float16 from(Float16 x) { return x; }
};

// ---- one side of a join ---------------------------------------------------------------------------------------------

// Rows are packed: their length is a multiple of 32 elements (zeros fill it up) and they are aligned to 16 bytes.
template <class Storage>
struct Side {
  const Storage* rows;   // [images, capacity, channels]
  const int32_t* sizes;  // [images] or nullptr
  const float* norms;    // [images, capacity]: |x|^2; distances only
  const float* bias;     // [images, capacity]: 0, |x|^2 / 2 for distances, +inf where there is no region
  int64_t images;
  int32_t capacity;
  int32_t channels;

  MIRROR_HOST_DEVICE int32_t size(int64_t image) const { return sizes == nullptr ? capacity : sizes[image]; }
  MIRROR_HOST_DEVICE const Storage* row(int64_t image, int32_t region) const {
    return rows + (image * capacity + region) * channels;
  }
};

template <class Storage>
MIRROR_HOST_DEVICE inline double squared_norm(const Storage* x, int32_t channels) {
  double sum[4] = {0, 0, 0, 0};
  for (int32_t c = 0; c < channels; c += 4)
    for (int i = 0; i < 4; ++i)
      sum[i] += static_cast<double>(to_float(x[c + i])) * static_cast<double>(to_float(x[c + i]));
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

struct RegionValue {
  float value;     // similarity or squared distance
  int32_t region;  // of the other image
};

// The closest region by differences; +inf without regions. A rare case, kept out of the kernels' registers.
template <class Storage>
MIRROR_HOST_DEVICE MIRROR_NOINLINE RegionValue direct_squared_distance(const Storage* x, const Storage* rows,
                                                                       int32_t regions, int32_t channels) {
  double least = INFINITY;
  int32_t closest = 0;
  for (int32_t j = 0; j < regions; ++j) {
    const Storage* y = rows + static_cast<int64_t>(j) * channels;
    double sum = 0;
    for (int32_t c = 0; c < channels; ++c) {
      const double difference = static_cast<double>(to_float(x[c])) - static_cast<double>(to_float(y[c]));
      sum += difference * difference;
    }
    if (!(sum < least)) continue;
    least = sum;
    closest = j;
  }
  return {static_cast<float>(least), closest};
}

// ---- scores ---------------------------------------------------------------------------------------------------------

MIRROR_HOST_DEVICE inline bool is_distance(Reduction r) {
  return r != Reduction::kCosine && r != Reduction::kBest;
}

// Below this share of |q|^2 the formula |q|^2 - 2 (q.t - |t|^2 / 2) has lost too many digits.
constexpr float kCancelled = 1.0f / 64;

// The similarity or squared distance of a region, from its largest q.t - bias and where that was.
template <class Storage>
MIRROR_HOST_DEVICE inline RegionValue region_value(Reduction reduction, const Side<Storage>& own,
                                                   int64_t own_image, int32_t region,
                                                   const Side<Storage>& other, int64_t other_image,
                                                   RegionValue best) {
  if (!is_distance(reduction)) return best;
  const float norm = own.norms[own_image * own.capacity + region];
  const float d = norm - 2 * best.value;
  const float clamped = d < 0 ? 0.0f : d;
  if (!(clamped < norm * kCancelled)) return {clamped, best.region};
  return direct_squared_distance(own.row(own_image, region), other.row(other_image, 0),
                                 other.size(other_image), own.channels);
}

MIRROR_HOST_DEVICE inline float fold_start(Reduction r) { return r == Reduction::kBest ? -INFINITY : 0.0f; }

MIRROR_HOST_DEVICE inline float fold_add(Reduction r, float sum, float x) {
  if (r == Reduction::kEuclidSum) return sum + sqrtf(x);
  if (r == Reduction::kBest || r == Reduction::kHausdorff) return x > sum ? x : sum;
  return sum + x;
}

MIRROR_HOST_DEVICE inline float fold_finish(Reduction r, float sum, int32_t regions) {
  if (regions == 0) return 0.0f;
  if (r == Reduction::kCosine) return sum / static_cast<float>(regions);
  if (r == Reduction::kEuclidL2 || r == Reduction::kHausdorff) return sqrtf(sum);
  return sum;
}

// ---- ranking --------------------------------------------------------------------------------------------------------

// A key orders by closeness, then by lowest index: larger is closer. 0 stands for none.
//   high half: the float's bits, so changed that unsigned integers order as the floats do; low half: ~index
MIRROR_HOST_DEVICE inline uint64_t rank_key(float score, uint32_t index, bool higher_is_closer) {
  const float value = score == 0 ? 0.0f : score;  // -0 and 0 are a tie
  const uint32_t bits = bits_of(higher_is_closer ? value : -value);
  const uint32_t ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(ordered) << 32 | static_cast<uint64_t>(~index);
}
MIRROR_HOST_DEVICE inline uint32_t rank_index(uint64_t key) { return ~static_cast<uint32_t>(key); }
MIRROR_HOST_DEVICE inline float rank_score(uint64_t key, bool higher_is_closer) {
  const uint32_t ordered = static_cast<uint32_t>(key >> 32);
  const float value = float_of((ordered & 0x80000000u) != 0 ? ordered & 0x7fffffffu : ~ordered);
  return higher_is_closer || value == 0 ? value : -value;
}

}  // namespace cuda
}  // namespace mirror
