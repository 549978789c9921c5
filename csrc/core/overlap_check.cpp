#include "core/overlap_check.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace mirror {
namespace overlap {
namespace {

std::string text(int64_t number) { return std::to_string(number); }

[[noreturn]] void fail(const char* op, const char* argument, const std::string& expected,
                       const std::string& got) {
  throw std::invalid_argument(std::string(op) + ": " + argument + ": expected " + expected + ", got " + got);
}

}  // namespace

void check_maps(const char* op, const IdMaps& maps) {
  if (maps.width > 0 && maps.height > INT32_MAX / maps.width)
    fail(op, "triangle_ids", "maps of at most 2147483647 pixels",
         text(maps.height) + " x " + text(maps.width));
}

void check_sets(const char* op, const Bitsets& sets) {
  if (sets.words > kMaxWords)
    fail(op, "bitsets", "at most " + text(kMaxWords) + " words a view", text(sets.words));
  if (sets.views > INT32_MAX) fail(op, "bitsets", "at most 2147483647 views", text(sets.views));
}

void check_visible(const char* op, int64_t num_faces, int64_t min_pixels) {
  if (num_faces < 0 || num_faces > 64 * kMaxWords)
    fail(op, "num_faces", "a number 0.." + text(64 * kMaxWords), text(num_faces));
  if (min_pixels < 1) fail(op, "min_pixels", "a number >= 1", text(min_pixels));
}

void check_grid(const Grid& grid) {
  for (const int64_t side : {grid.rows, grid.columns})
    if (side < 1 || side > INT32_MAX) fail("overlap_masks", "size", "numbers 1..2147483647", text(side));
}

void check_pairs(const IdMaps& maps, const Bitsets& sets, const ViewPairs& pairs) {
  constexpr const char* op = "overlap_masks";
  if (!pairs.directed && maps.views != sets.views)
    fail(op, "bitsets", text(maps.views) + " views, as many as maps, without directed=True",
         text(sets.views));
  for (int64_t p = 0; p < pairs.count; ++p)
    for (int side = 0; side < 2; ++side) {
      const int64_t index = pairs.pairs[2 * p + side], views = side == 0 ? maps.views : sets.views;
      if (index >= 0 && index < views) continue;
      const std::string expected = views > 0 ? "views 0.." + text(views - 1) : "no pairs of no views";
      fail(op, "pairs", expected + " in column " + text(side), text(index) + " in row " + text(p));
    }
  if (pairs.count > 0 && maps.height * maps.width == 0)
    fail(op, "triangle_ids", "at least one pixel", "maps of " + text(maps.height) + " x " + text(maps.width));
}

void check_weights(const Bitsets& sets, const TriangleWeights& weights) {
  constexpr const char* op = "shared_triangles";
  if (weights.scalar != Scalar::kFloat32 && weights.scalar != Scalar::kFloat64)
    fail(op, "weights", "float32 or float64", "a 16-bit type");
  if (weights.count > 64 * sets.words)
    fail(op, "weights", "at most " + text(64 * sets.words) + ", one for each bit", text(weights.count));
  const int64_t first = weights.count / 64;  // the first word with a bit that has no weight
  for (int64_t view = 0; view < sets.views; ++view)
    for (int64_t w = first; w < sets.words; ++w) {
      uint64_t beyond = sets.bits[view * sets.words + w];
      if (w == first) beyond &= ~uint64_t{0} << weights.count % 64;
      if (beyond == 0) continue;
      fail(op, "weights", "one for every triangle in the bitsets",
           text(weights.count) + ", but triangle " + text(64 * w + __builtin_ctzll(beyond)) + " is in row " +
               text(view));
    }
}

void fail_ids(const char* op, const int32_t* ids, int64_t count, int64_t num_faces, int64_t view) {
  const int32_t* const bad =
      std::find_if(ids, ids + count, [&](int32_t id) { return id < -1 || id >= num_faces; });
  fail(op, "triangle_ids",
       num_faces > 0 ? "-1 or ids 0.." + text(num_faces - 1) : "-1 only, without triangles",
       text(*bad) + " in view " + text(view));
}

}  // namespace overlap
}  // namespace mirror
