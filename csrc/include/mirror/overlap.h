// Who sees which triangle: visible sets of id maps, what two views share, and where on a picture it is.
//
// Everything is integer arithmetic but for sums of weights, whose order is fixed: the same bits on every processor and for
// every number of threads.
#pragma once

#include <cstdint>

#include "mirror/parallel.h"
#include "mirror/scalar.h"

namespace mirror {

// Which triangle every pixel shows, [views, height, width], contiguous; -1: none.
struct IdMaps {
  const int32_t* ids = nullptr;
  int64_t views = 0;
  int64_t height = 0;
  int64_t width = 0;  // height * width <= INT32_MAX
};

// Sets of triangles, [views, words], contiguous: bit t % 64 of word t / 64 is triangle t.
struct Bitsets {
  const uint64_t* bits = nullptr;
  int64_t views = 0;
  int64_t words = 0;  // <= kMaxWords
};

constexpr int64_t kMaxWords = INT32_MAX / 64;
constexpr int64_t words_of(int64_t num_faces) { return num_faces / 64 + (num_faces % 64 != 0); }

// bitsets [views, words_of(num_faces)]: the triangles that own at least min_pixels (>= 1) pixels of each map.
// counts [views]: how many they are. Ids are -1 or 0..num_faces-1: std::invalid_argument otherwise.
void visible_triangles(const IdMaps& maps, int64_t num_faces, int64_t min_pixels, uint64_t* bitsets,
                       int64_t* counts, const Parallel& parallel);

// shared [views, views]: how many triangles are in both sets; the diagonal is the size of each.
void shared_triangles(const Bitsets& sets, int32_t* shared, const Parallel& parallel);

// The weight of each triangle, [count], float32 or float64.
struct TriangleWeights {
  const void* data = nullptr;
  int64_t count = 0;  // <= 64 * words; a bit from here on is an error (std::invalid_argument)
  Scalar scalar = Scalar::kFloat64;
};

// shared [views, views]: the weight of the triangles that are in both sets. The order of summation: in every block of
// 512 triangles, eight sums of every eighth triangle in rising order, s0..s7; then ((s0 + s1) + (s2 + s3)) +
// ((s4 + s5) + (s6 + s7)); then the blocks in rising order. Triangles that are not shared are not looked at.
void shared_weights(const Bitsets& sets, const TriangleWeights& weights, double* shared,
                    const Parallel& parallel);

// The grid that a picture is divided into: cells of height / rows by width / columns pixels.
struct Grid {
  int64_t rows = 0;
  int64_t columns = 0;  // both 1..INT32_MAX
};

// Which maps meet which sets. pairs [count, 2], contiguous.
//   directed: (row of the maps, row of the sets); coverage [count, rows, columns]
//   else: (i, j), rows of both; coverage [count, 2, rows, columns]: i's map with j's set, then j's map with i's set
struct ViewPairs {
  const int64_t* pairs = nullptr;
  int64_t count = 0;
  bool directed = false;
};

// coverage: of every cell of the map's grid, the share of its area whose triangle is in the set; 0..1. Pixel x
// covers [x * columns, (x + 1) * columns) and cell c [c * width, (c + 1) * width), in the same unit; rows likewise. So
// the area is an integer, divided once, in float64, by that of the cell (height * width), then rounded to float32.
// Indices out of range, ids beyond the bits and maps without pixels are std::invalid_argument.
void overlap_masks(const IdMaps& maps, const Bitsets& sets, const ViewPairs& pairs, const Grid& grid,
                   float* coverage, const Parallel& parallel);

// order [num_faces]: the triangles along a Morton curve through their centroids, ties by index. Meshes in this order have
// sets with few occupied blocks. vertices [num_vertices, 3], float32 or float64, contiguous; faces [num_faces, 3].
// The curve fills the smallest cube with 2^21 steps on a side; triangles with a vertex that is not finite come last. An index
// that is no vertex's is std::invalid_argument.
void morton_order(const void* vertices, Scalar scalar, int64_t num_vertices, const int32_t* faces,
                  int64_t num_faces, int32_t* order, const Parallel& parallel);

}  // namespace mirror
