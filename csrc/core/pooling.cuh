// Max pooling on CUDA: every kernel reads the map once from memory; boxes that overlap read it again from the caches.
//   planes     cells lie side by side     block = 8 channels of an image, warp = channel, lanes = cells
//   channels   channels lie side by side  block = 32 channels of an image, lane = channel, warps share boxes or cells
// Maxima are those of pooling.h: their order (NaN first, then the larger, then the first cell) is total, so that the lanes may
// meet in any order.
#pragma once

#include <cstring>

#include "core/device.cuh"
#include "core/half.h"
#include "mirror/pooling.h"

namespace mirror {
namespace cuda {

constexpr int kPoolWarps = 8;
constexpr int kPoolThreads = 32 * kPoolWarps;

// Storage types: what lies in memory and what is compared.
struct StoredFloat {
  using Stored = float;
  using Value = float;
  static MIRROR_HOST_DEVICE float widen(float x) { return x; }
  static MIRROR_HOST_DEVICE float narrow(float x) { return x; }
};
struct StoredDouble {
  using Stored = double;
  using Value = double;
  static MIRROR_HOST_DEVICE double widen(double x) { return x; }
  static MIRROR_HOST_DEVICE double narrow(double x) { return x; }
};
struct StoredBFloat16 {
  using Stored = uint16_t;
  using Value = float;
  static MIRROR_HOST_DEVICE float widen(uint16_t x) { return widen_bf16(x); }
  static MIRROR_HOST_DEVICE uint16_t narrow(float x) { return narrow_bf16(x); }
};
struct StoredFloat16 {
  using Stored = uint16_t;
  using Value = float;
  static MIRROR_HOST_DEVICE float widen(uint16_t x) { return widen_fp16(x); }
  static MIRROR_HOST_DEVICE uint16_t narrow(float x) { return narrow_fp16(x); }
};

struct PoolWork {
  FeatureMaps maps;
  Boxes boxes;          // of regions
  const uint8_t* mask;  // of masks
  void* pooled;
  int32_t* argmax;  // or nullptr
};

// The best cell so far; index < 0: none.
template <class T>
struct Best {
  T value;
  int32_t index;

  // `sign` -1: the minimum.
  MIRROR_HOST_DEVICE void take(T x, int32_t i, T sign) {
    const bool nan = x != x, mine = value != value;
    const bool first = i < index;
    const bool wins =
        nan || mine ? nan && (!mine || first) : x * sign > value * sign || (x == value && first);
    if (index < 0 || wins) {
      value = x;
      index = i;
    }
  }
  __device__ void meet_lanes(T sign) {
    for (int lanes = 16; lanes > 0; lanes >>= 1) {
      const T other = __shfl_xor_sync(0xffffffffu, value, lanes);
      const int32_t where = __shfl_xor_sync(0xffffffffu, index, lanes);
      if (where >= 0) take(other, where, sign);
    }
  }
};

template <class Storage>
struct Pool {
  using Stored = typename Storage::Stored;
  using T = typename Storage::Value;

  static MIRROR_HOST_DEVICE T read(const PoolWork& work, int64_t at) {
    return Storage::widen(static_cast<const Stored*>(work.maps.data)[at]);
  }

  static MIRROR_HOST_DEVICE void write(const PoolWork& work, int64_t at, const Best<T>& best) {
    const T zero = 0;
    const bool nan = best.index < 0 || best.value != best.value;
    static_cast<Stored*>(work.pooled)[at] = nan ? quiet_nan() : Storage::narrow(best.value + zero);
    if (work.argmax != nullptr) work.argmax[at] = best.index;
  }

  static MIRROR_HOST_DEVICE Stored quiet_nan() {
    if (sizeof(T) == 8) {
      const uint64_t bits = 0x7ff8000000000000u;
      T nan;
      memcpy(&nan, &bits, sizeof nan);
      return Storage::narrow(nan);
    }
    return Storage::narrow(static_cast<T>(bits_to_float(0x7fc00000u)));
  }
};

// A box, cut to the map.
struct Inside {
  int32_t top, left, bottom, right;
};
MIRROR_HOST_DEVICE inline int64_t box_number(const Boxes& boxes, int64_t i) {
  return boxes.int32 ? static_cast<const int32_t*>(boxes.data)[i]
                     : static_cast<const int64_t*>(boxes.data)[i];
}
MIRROR_HOST_DEVICE inline int32_t clamp_to(int64_t x, int64_t limit) {
  return static_cast<int32_t>(x < 0 ? 0 : x > limit ? limit : x);
}
MIRROR_HOST_DEVICE inline Inside inside(const PoolWork& work, int64_t box) {
  const int64_t row = box_number(work.boxes, 4 * box), column = box_number(work.boxes, 4 * box + 1);
  const int64_t height = box_number(work.boxes, 4 * box + 2), width = box_number(work.boxes, 4 * box + 3);
  return {clamp_to(row, work.maps.height), clamp_to(column, work.maps.width),
          clamp_to(row + height, work.maps.height), clamp_to(column + width, work.maps.width)};
}

// Lanes side by side in a row; where a box is narrow, over several rows at once.
template <class Storage>
static __global__ void __launch_bounds__(kPoolThreads, 4) pool_regions_of_planes(PoolWork work) {
  using P = Pool<Storage>;
  using T = typename P::T;
  const FeatureMaps& maps = work.maps;
  const int64_t groups = (maps.channels + kPoolWarps - 1) / kPoolWarps;
  const int64_t image = blockIdx.x / groups;
  const int64_t channel = blockIdx.x % groups * kPoolWarps + (threadIdx.x >> 5);
  if (channel >= maps.channels) return;  // a whole warp
  const int32_t lane = threadIdx.x & 31, map_width = static_cast<int32_t>(maps.width);
  const int64_t plane = image * maps.strides[0] + channel * maps.strides[1];
  for (int64_t box = 0; box < work.boxes.count; ++box) {
    const Inside b = inside(work, box);
    const int32_t width = b.right - b.left;
    Best<T> best{0, -1};
    if (width > 0) {
      const int32_t rows = width >= 32 ? 1 : 32 / width, own = lane / width;
      const int32_t first = width >= 32 ? 0 : own, column = width >= 32 ? lane : lane - own * width;
      if (first < rows)
        for (int32_t r = b.top + first; r < b.bottom; r += rows)
          for (int32_t c = b.left + column; c < b.right; c += 32)
            best.take(P::read(work, plane + r * maps.strides[2] + c * maps.strides[3]), r * map_width + c, 1);
    }
    best.meet_lanes(1);
    if (lane == 0) P::write(work, (image * work.boxes.count + box) * maps.channels + channel, best);
  }
}

template <class Storage>
static __global__ void __launch_bounds__(kPoolThreads, 4) pool_regions_of_channels(PoolWork work) {
  using P = Pool<Storage>;
  using T = typename P::T;
  const FeatureMaps& maps = work.maps;
  const int64_t groups = (maps.channels + 31) / 32;
  const int64_t image = blockIdx.x / groups, channel = blockIdx.x % groups * 32 + (threadIdx.x & 31);
  if (channel >= maps.channels) return;
  const int32_t map_width = static_cast<int32_t>(maps.width);
  const int64_t base = image * maps.strides[0] + channel * maps.strides[1];
  for (int64_t box = threadIdx.x >> 5; box < work.boxes.count; box += kPoolWarps) {
    const Inside b = inside(work, box);
    Best<T> best{0, -1};
    for (int32_t r = b.top; r < b.bottom; ++r)
      for (int32_t c = b.left; c < b.right; ++c)
        best.take(P::read(work, base + r * maps.strides[2] + c * maps.strides[3]), r * map_width + c, 1);
    P::write(work, (image * work.boxes.count + box) * maps.channels + channel, best);
  }
}

// Cells first, first + step, ... of one channel: those that the mask keeps, or (all) every one, for the minimum.
template <class Storage>
__device__ inline void take_cells(const PoolWork& work, int64_t base, const uint8_t* mask, int32_t first,
                                  int32_t step, bool all, Best<typename Storage::Value>* best) {
  using P = Pool<Storage>;
  using T = typename P::T;
  const FeatureMaps& maps = work.maps;
  const int32_t cells = static_cast<int32_t>(maps.height * maps.width),
                width = static_cast<int32_t>(maps.width);
  const bool even = maps.strides[2] == maps.width * maps.strides[3];  // no division then
  const T sign = all ? -1 : 1;
  for (int64_t next = first; next < cells; next += step) {
    const int32_t i = static_cast<int32_t>(next);
    if (!all && mask[i] == 0) continue;
    const int64_t at = even ? i * maps.strides[3] : i / width * maps.strides[2] + i % width * maps.strides[3];
    best->take(P::read(work, base + at), i, sign);
  }
}

template <class Storage>
static __global__ void __launch_bounds__(kPoolThreads, 4) pool_masks_of_planes(PoolWork work) {
  using P = Pool<Storage>;
  using T = typename P::T;
  const FeatureMaps& maps = work.maps;
  const int64_t groups = (maps.channels + kPoolWarps - 1) / kPoolWarps;
  const int64_t image = blockIdx.x / groups;
  const int64_t channel = blockIdx.x % groups * kPoolWarps + (threadIdx.x >> 5);
  if (channel >= maps.channels) return;  // a whole warp
  const int32_t lane = threadIdx.x & 31;
  const int64_t base = image * maps.strides[0] + channel * maps.strides[1];
  const uint8_t* const mask = work.mask + image * maps.height * maps.width;
  Best<T> best{0, -1};
  take_cells<Storage>(work, base, mask, lane, 32, false, &best);
  best.meet_lanes(1);
  if (best.index < 0) {  // all lanes alike: the mask keeps nothing
    take_cells<Storage>(work, base, mask, lane, 32, true, &best);
    best.meet_lanes(-1);
  }
  if (lane == 0) P::write(work, image * maps.channels + channel, best);
}

// Warp w looks at cells w, w + 8, ...; the first warp puts their bests together.
template <class Storage>
static __global__ void __launch_bounds__(kPoolThreads, 4) pool_masks_of_channels(PoolWork work) {
  using P = Pool<Storage>;
  using T = typename P::T;
  const FeatureMaps& maps = work.maps;
  const int64_t groups = (maps.channels + 31) / 32;
  const int32_t lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int64_t image = blockIdx.x / groups, channel = blockIdx.x % groups * 32 + lane;
  const bool exists = channel < maps.channels;
  const int64_t base = image * maps.strides[0] + channel * maps.strides[1];
  const uint8_t* const mask = work.mask + image * maps.height * maps.width;
  T* const values = reinterpret_cast<T*>(shared_memory());  // [warps, 32]
  int32_t* const indices = reinterpret_cast<int32_t*>(values + kPoolThreads);
  Best<T> best{0, -1};
  if (exists) take_cells<Storage>(work, base, mask, warp, kPoolWarps, false, &best);
  values[threadIdx.x] = best.value;
  indices[threadIdx.x] = best.index;
  __syncthreads();
  if (warp != 0 || !exists) return;
  for (int w = 1; w < kPoolWarps; ++w)
    if (indices[32 * w + lane] >= 0) best.take(values[32 * w + lane], indices[32 * w + lane], 1);
  if (best.index < 0) take_cells<Storage>(work, base, mask, 0, 1, true, &best);
  P::write(work, image * maps.channels + channel, best);
}

// thread = channel of an image: boxes in rising order, so that sums have the CPU's bits.
template <class T>
static __global__ void __launch_bounds__(kPoolThreads)
    pool_gradient(const T* grad, const int32_t* argmax, int64_t boxes, FeatureMaps gradient) {
  const int64_t channels = gradient.channels;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kPoolThreads + threadIdx.x;
  if (i >= gradient.images * channels) return;
  const int64_t image = i / channels, channel = i % channels;
  const int32_t width = static_cast<int32_t>(gradient.width);
  T* const out = static_cast<T*>(const_cast<void*>(gradient.data)) + image * gradient.strides[0] +
                 channel * gradient.strides[1];
  for (int64_t box = 0; box < boxes; ++box) {
    const int64_t at = (image * boxes + box) * channels + channel;
    const int32_t cell = argmax[at];
    if (cell >= 0) out[cell / width * gradient.strides[2] + cell % width * gradient.strides[3]] += grad[at];
  }
}

}  // namespace cuda
}  // namespace mirror
