// Regions as the caller gave them -> Side as the kernels want them. Rows are used where they lie when their type, length
// and alignment allow it; else they are packed into the workspace.
#pragma once

#include "core/launch_cuda.h"
#include "core/pr_mac_prepare.cuh"

namespace mirror {
namespace cuda {

template <class Storage>
struct ScalarOf;
template <>
struct ScalarOf<float> {
  static constexpr Scalar kScalar = Scalar::kFloat32;
};
template <>
struct ScalarOf<BFloat16> {
  static constexpr Scalar kScalar = Scalar::kBFloat16;
};
template <>
struct ScalarOf<Float16> {
  static constexpr Scalar kScalar = Scalar::kFloat16;
};

inline int32_t padded_channels(int64_t channels) {
  return static_cast<int32_t>(channels < 32 ? 32 : ceil_div(channels, 32) * 32);
}

template <class Storage>
bool usable_in_place(const Regions& regions) {
  return regions.scalar == ScalarOf<Storage>::kScalar &&
         padded_channels(regions.channels) == regions.channels &&
         reinterpret_cast<uintptr_t>(regions.data) % 16 == 0;
}

// Takes its pieces of the workspace; nothing is computed yet.
template <class Storage>
Side<Storage> place_side(const Regions& regions, Pieces& pieces) {
  const int64_t rows = regions.images * regions.capacity;
  const int32_t padded = padded_channels(regions.channels);
  Side<Storage> side{};
  side.rows = usable_in_place<Storage>(regions) ? static_cast<const Storage*>(regions.data)
                                                : pieces.take<Storage>(rows * padded);
  side.norms = pieces.take<float>(rows);
  side.bias = pieces.take<float>(rows);
  side.sizes = regions.sizes;
  side.images = regions.images;
  side.capacity = static_cast<int32_t>(regions.capacity);
  side.channels = padded;
  return side;
}

template <class In, class Out>
void launch_pack(const Regions& regions, const Side<Out>& side, Stream stream, const char* op) {
  const int64_t elements = side.images * side.capacity * side.channels;
  launch(op, stream, pack_rows<In, Out>, {ceil_div(elements, 256)}, 256, 0,
         static_cast<const In*>(regions.data), side.images * side.capacity,
         static_cast<int32_t>(regions.channels), side.channels, const_cast<Out*>(side.rows));
}

template <class Storage>
void pack(const Regions& regions, const Side<Storage>& side, Stream stream, const char* op);

template <>
inline void pack(const Regions& regions, const Side<float>& side, Stream stream, const char* op) {
  if (regions.scalar == Scalar::kFloat32)
    launch_pack<float, float>(regions, side, stream, op);
  else if (regions.scalar == Scalar::kBFloat16)
    launch_pack<BFloat16, float>(regions, side, stream, op);
  else
    launch_pack<Float16, float>(regions, side, stream, op);
}
template <>
inline void pack(const Regions& regions, const Side<BFloat16>& side, Stream stream, const char* op) {
  if (regions.scalar == Scalar::kFloat32)
    launch_pack<float, BFloat16>(regions, side, stream, op);
  else
    launch_pack<BFloat16, BFloat16>(regions, side, stream, op);
}
template <>
inline void pack(const Regions& regions, const Side<Float16>& side, Stream stream, const char* op) {
  launch_pack<Float16, Float16>(regions, side, stream, op);
}

// Fills what place_side() took.
template <class Storage>
void fill_side(const Regions& regions, const Side<Storage>& side, Reduction reduction, Stream stream,
               const char* op) {
  const int64_t rows = side.images * side.capacity;
  if (!usable_in_place<Storage>(regions)) pack(regions, side, stream, op);
  launch(op, stream, measure_regions<Storage>, {ceil_div(rows, 128)}, 128, 0, side, is_distance(reduction),
         const_cast<float*>(side.norms), const_cast<float*>(side.bias));
}

}  // namespace cuda
}  // namespace mirror
