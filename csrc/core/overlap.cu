// Launches of visible and shared triangles and of their masks.
#include "core/overlap.cuh"

#include <algorithm>

#include "core/launch_cuda.h"
#include "core/overlap_check.h"

namespace mirror {
namespace cuda {
namespace {

constexpr int64_t kOwnedBytes = int64_t{256} << 20;  // of counters, where one view's take less

[[noreturn]] void refuse(const char* op, const char* argument, const std::string& expected,
                         const std::string& got) {
  throw std::invalid_argument(std::string(op) + ": " + argument + ": expected " + expected + ", got " + got);
}

// Views whose counters lie in the workspace at a time.
int64_t views_at_once(int64_t views, int64_t faces, int64_t min_pixels) {
  if (min_pixels <= 1) return std::min(views, kMaxGridY);
  const int64_t fit = kOwnedBytes / (std::max<int64_t>(faces, 1) * static_cast<int64_t>(sizeof(uint32_t)));
  return std::min({views, kMaxGridY, std::max<int64_t>(fit, 1)});
}

uint32_t* take_owned(Pieces& pieces, int64_t views, int64_t faces, int64_t min_pixels) {
  return pieces.take<uint32_t>(min_pixels <= 1 ? 0 : views_at_once(views, faces, min_pixels) * faces);
}

}  // namespace

void launch_sets(const char* op, const SetWork& work, int64_t views, Stream stream) {
  const Grid pixels = {ceil_div(work.pixels, kOverlapThreads), views};
  if (work.min_pixels <= 1) {
    launch(op, stream, mark_pixels, pixels, kOverlapThreads, 0, work);
  } else {
    fill_bytes(op, work.owned, 0, views * work.faces * static_cast<int64_t>(sizeof(uint32_t)), stream);
    launch(op, stream, count_pixels, pixels, kOverlapThreads, 0, work);
    launch(op, stream, keep_triangles, {ceil_div(work.words, kOverlapWarps), views}, kOverlapThreads, 0,
           work);
  }
  launch(op, stream, count_triangles, {ceil_div(work.words, kWordsCounted), views}, kOverlapThreads, 0, work);
}

size_t visible_triangles_workspace(const IdMaps& maps, int64_t num_faces, int64_t min_pixels) {
  Pieces pieces;
  take_owned(pieces, maps.views, num_faces, min_pixels);
  return pieces.used();
}

void visible_triangles(const IdMaps& maps, int64_t num_faces, int64_t min_pixels, uint64_t* bitsets,
                       int64_t* counts, const Workspace& workspace, Stream stream) {
  constexpr const char* op = "visible_triangles";
  overlap::check_visible(op, num_faces, min_pixels);
  check(cudaGetLastError(), op);
  Pieces pieces(workspace, op);
  SetWork work{maps.ids,
               1,
               maps.height * maps.width,
               num_faces,
               words_of(num_faces),
               min_pixels,
               bitsets,
               counts,
               take_owned(pieces, maps.views, num_faces, min_pixels)};
  fill_bytes(op, bitsets, 0, maps.views * work.words * static_cast<int64_t>(sizeof(uint64_t)), stream);
  fill_bytes(op, counts, 0, maps.views * static_cast<int64_t>(sizeof(int64_t)), stream);
  if (num_faces == 0) return;
  const int64_t step = std::max<int64_t>(views_at_once(maps.views, num_faces, min_pixels), 1);
  for (int64_t first = 0; first < maps.views; first += step) {
    launch_sets(op, work, std::min(step, maps.views - first), stream);
    work.ids += step * work.pixels;
    work.bitsets += step * work.words;
    work.counts += step;
  }
}

void shared_triangles(const Bitsets& sets, int32_t* shared, Stream stream) {
  constexpr const char* op = "shared_triangles";
  check(cudaGetLastError(), op);
  fill_bytes(op, shared, 0, sets.views * sets.views * static_cast<int64_t>(sizeof(int32_t)), stream);
  if (sets.views == 0 || sets.words == 0) return;
  const int64_t tiles = ceil_div(sets.views, kShareTile), pairs = tiles * (tiles + 1) / 2;
  // Blocks for every multiprocessor several times over, but not less than eight chunks for each.
  const int64_t chunks = ceil_div(sets.words, 16), wanted = ceil_div(8 * multiprocessors(op), pairs);
  const int64_t stretch = std::max<int64_t>(ceil_div(chunks, wanted), std::min<int64_t>(chunks, 8));
  allow_shared(share_triangles, kShareShared, op);
  launch(op, stream, share_triangles, {pairs, ceil_div(chunks, stretch)}, kOverlapThreads, kShareShared,
         ShareWork{sets.bits, sets.views, sets.words, stretch, shared});
}

void shared_weights(const Bitsets& sets, const TriangleWeights& weights, double* shared, Stream stream) {
  constexpr const char* op = "shared_triangles";
  check(cudaGetLastError(), op);
  const int64_t tiles = ceil_div(sets.views, kWeighTile);
  launch(op, stream, weigh_triangles, {tiles * (tiles + 1) / 2}, kOverlapThreads, sizeof(WeighStage),
         WeighWork{sets.bits, sets.views, sets.words, weights.data, weights.count,
                   weights.scalar == Scalar::kFloat64, shared});
}

void overlap_masks(const IdMaps& maps, const Bitsets& sets, const ViewPairs& pairs, const mirror::Grid& grid,
                   float* coverage, Stream stream) {
  constexpr const char* op = "overlap_masks";
  overlap::check_grid(grid);
  check(cudaGetLastError(), op);
  if (pairs.count == 0) return;
  if (!pairs.directed && maps.views != sets.views)
    refuse(op, "bitsets", std::to_string(maps.views) + " views, as many as maps, without directed=True",
           std::to_string(sets.views));
  if (maps.height * maps.width == 0)
    refuse(op, "triangle_ids", "at least one pixel",
           "maps of " + std::to_string(maps.height) + " x " + std::to_string(maps.width));
  const int64_t cells = pairs.count * (pairs.directed ? 1 : 2) * grid.rows * grid.columns;
  const int64_t blocks = std::min<int64_t>(ceil_div(cells, kOverlapWarps), INT32_MAX);
  launch(op, stream, cover_cells, {blocks}, kOverlapThreads, 0,
         MaskWork{maps, sets, pairs, grid.rows, grid.columns, cells, coverage});
}

}  // namespace cuda
}  // namespace mirror
