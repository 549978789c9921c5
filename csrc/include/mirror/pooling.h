// Max pooling of feature maps: over boxes (the regions of R-MAC and PR-MAC) and over masks.
//
// The maximum of a set of cells is that of torch: a NaN counts as larger than every number. A zero comes out as +0, a NaN
// as the quiet NaN, everything else as it is stored. Its argmax is the first cell, in row-major order, that holds it.
// The same bits on every processor and for every number of threads.
#pragma once

#include <cstdint>

#include "mirror/parallel.h"
#include "mirror/scalar.h"

namespace mirror {

// Maps of features in any memory layout; dense [images, channels, height, width] (NCHW) and dense
// [images, height, width, channels] (channels_last) are read in place and fast.
struct FeatureMaps {
  const void* data = nullptr;  // of type `scalar`
  int64_t images = 0;
  int64_t channels = 0;
  int64_t height = 0;
  int64_t width = 0;        // height * width <= INT32_MAX
  int64_t strides[4] = {};  // from one image, channel, row and column to the next, in elements
  Scalar scalar = Scalar::kFloat32;
};

// Boxes [count, 4] = (row, column, height, width), int64 or int32, contiguous. height, width >= 1, inside the map.
struct Boxes {
  const void* data = nullptr;
  int64_t count = 0;
  bool int32 = false;
};

// pooled [images, boxes, channels], contiguous, of the features' type: the maximum of each box.
// argmax [images, boxes, channels] or nullptr: row * width + column of that maximum in the map.
// Boxes that overlap share the work. Throws std::invalid_argument for a box that is empty or leaves the map.
void region_max_pool(const FeatureMaps& features, const Boxes& boxes, void* pooled, int32_t* argmax,
                     const Parallel& parallel);

// mask [images, height, width], contiguous: cells that are not 0 count.
// pooled [images, channels], contiguous, of the features' type: the maximum over the cells that count.
// argmax [images, channels] or nullptr. A mask without any cell gives the channel's minimum over the whole map (the first
// one; +0 and NaN as above), so that max((F - min F) * mask + min F) holds for every mask of 0 and 1. A map without
// cells has no maximum: std::invalid_argument.
void masked_max_pool(const FeatureMaps& features, const uint8_t* mask, void* pooled, int32_t* argmax,
                     const Parallel& parallel);

// Gradient of both (masked_max_pool: boxes = 1). grad [images, boxes, channels], contiguous, float32 or float64 as
// gradient.scalar says; argmax as above. gradient.data, of gradient.strides, is overwritten: every cell gets the sum of
// grad over the boxes whose argmax it is, in rising order of the boxes.
void max_pool_backward(const void* grad, const int32_t* argmax, int64_t boxes, const FeatureMaps& gradient,
                       const Parallel& parallel);

}  // namespace mirror
