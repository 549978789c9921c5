// Late interaction of local features: mutual nearest neighbours of 7-bit descriptors, weighed by how much better each
// is than the second best in the same photo. spec: docs/late_interaction.md.
//
// All arithmetic up to the distances is exact: dot products and squared norms are int32, neighbours are ranked by dot
// product, ties go to the lowest index. For feature p of one photo: q = its best, q' = its second best in the other,
//   ratio(p) = min(1, sqrt(max(|p - q|^2, 1) / max(|p - q'|^2, 1)))          (float32, correctly rounded operations)
// p and q match when each is the other's best. A photo with fewer than two features has no matches.
// The results are the same bits on every processor, for every number of threads and every chunking.
#pragma once

#include <cstdint>

#include "mirror/parallel.h"

namespace mirror {

constexpr int kDescriptorLength = 128;   // components of a descriptor, uint8 in 0..127
constexpr int64_t kMaxFeatures = 32768;  // features of one photo
constexpr int64_t kMinTwoPass = 1024;    // of both photos, for two passes (mutual_matches)

// Photos' descriptors, padded to the same number of rows. Rows at and beyond a photo's size are never read.
struct Descriptors {
  const uint8_t* data = nullptr;  // [images, capacity, 128], contiguous, values 0..127 (not checked here)
  const int32_t* sizes =
      nullptr;  // [images], 0 <= size <= capacity; nullptr: every photo has `capacity` features
  int64_t images = 0;
  int64_t capacity = 0;  // <= kMaxFeatures
};

// Every function below reads only the first `depth` features of each photo (all of them where depth < 0).
// score(i, j) = sum over mutual matches (p, q) of (1 - (ratio(p) + ratio(q)) / 2)^2, accumulated in fixed point.

// All pairs of two sets: scores [a.images, b.images], row-major.
void match_kernel(const Descriptors& a, const Descriptors& b, int64_t depth, float* scores,
                  const Parallel& parallel);

// Self-join: scores [images, images], symmetric, equal to match_kernel(photos, photos) at half of its cost.
void match_kernel_self(const Descriptors& photos, int64_t depth, float* scores, const Parallel& parallel);

// A list of pairs: pairs [count, 2] = (index into a, index into b), indices in range; scores [count].
void match_kernel_pairs(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                        int64_t depth, float* scores, const Parallel& parallel);

// Receives the matches of one pair: matches [count, 2] = (feature of a, feature of b), rising in the first column;
// ratios [count, 2] = (ratio seen from a, ratio seen from b). Called exactly once for every pair, in any order and
// from any thread; the arrays are valid during the call only.
struct MatchSink {
  void (*receive)(void* context, int64_t pair, int64_t count, const int32_t* matches,
                  const float* ratios) = nullptr;
  void* context = nullptr;
};

// The mutual matches of a list of pairs whose smaller ratio is below max_ratio (max_ratio > 1 keeps all).
//
// Not exact: pairs whose photos both have kMinTwoPass features are matched in two passes, in little more than half of
// the time. A feature is compared only with the four that are closest to it (or that it is closest to) by descriptors
// of half the length. So a match is missed where they rank its features fifth or worse from both sides, and where the
// second best is missed the ratio is smaller than it should be: use a smaller max_ratio. What is compared is compared
// exactly, and these results too are the same bits on every processor. docs/late_interaction.md has the definition.
void mutual_matches(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                    int64_t depth, float max_ratio, const MatchSink& sink, const Parallel& parallel,
                    bool exact = true);

}  // namespace mirror
