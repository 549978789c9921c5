// Local similarity support: every match predicts, by its own scale and angle, where its neighbours land in the other
// photo. A match that enough others support is good. spec: docs/late_interaction.md, 4.
#pragma once

#include <cstdint>

#include "mirror/parallel.h"

namespace mirror {

// Photos' key points, padded to the same number of rows.
struct Keypoints {
  const float* data =
      nullptr;  // [images, capacity, 4]: x, y (pixels), scale (> 0, any unit), angle (degrees)
  const float* diagonals = nullptr;  // [images], the photo's diagonal in pixels
  int64_t images = 0;
  int64_t capacity = 0;
};

struct SupportOptions {
  double near =
      0.004;  // share of the diagonal: closer matches do not support each other, and slack of a prediction
  double far = 0.25;  // share of the diagonal within which matches support each other
  double tolerance =
      0.3;  // allowed error of a prediction, as a share of the shorter of predicted and observed offset
  double min_share =
      0.06;  // a good match has at least max(min_support, min_share * matches of the pair) supporters
  double min_support = 2.0;
  double weak = 0.01;  // weight of all matches, good or not: orders pairs that have no support
};

// For every pair of `pairs` [count, 2] = (index into a, index into b), with matches offsets[i] <= m < offsets[i + 1]:
//   matches [M, 2] = (row in a's key points, row in b's), ratios [M, 2] in (0, 1], offsets [count + 1] rising from 0.
// Out: evidence [count] = sum over good matches of (1 - min ratio) + weak * the same sum over all;
//      good [M] (0 or 1); may be nullptr.
// All decisions are taken in float64. Values that are not finite (or come from a scale of 0) make no prediction come
// true, a ratio outside [0, 1] weighs nothing: the evidence is always finite.
// Distances are measured in photo a and its diagonal counts for both. Same bits on every processor and thread count.
void similarity_support(const Keypoints& a, const Keypoints& b, const int64_t* pairs, int64_t count,
                        const int32_t* matches, const float* ratios, const int64_t* offsets,
                        const SupportOptions& options, float* evidence, uint8_t* good,
                        const Parallel& parallel);

}  // namespace mirror
