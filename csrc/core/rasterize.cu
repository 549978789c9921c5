// Launches of the rasteriser: a few views at a time, as many as their scratch memory allows.
#include "core/rasterize.cuh"

#include <algorithm>

#include "core/launch_cuda.h"
#include "core/overlap_check.h"
#include "core/overlap_sets.h"
#include "core/rasterize_check.h"

namespace mirror {
namespace cuda {
namespace {

// Of all views at a time, where one takes less: about what the level-2 cache holds, yet launches enough work.
constexpr int64_t kScratchBytes = int64_t{64} << 20;
constexpr int kBlocksPerProcessor = 4;  // of kernels that work through lists

// Scratch memory: cameras of all views, the rest of a few.
struct RasterScratch {
  raster::Camera* cameras;
  uint32_t* owned;  // only for sets with min_pixels > 1
  RasterWork work;
};

int64_t raster_views_at_once(const Mesh& mesh, int64_t views, const RasterSize& size, bool counted) {
  const int64_t bytes = mesh.num_vertices * static_cast<int64_t>(sizeof(Projected)) +
                        mesh.num_faces * (counted ? 8 : 4) + size.height * size.width * 8;
  return std::max<int64_t>(1, std::min({views, kMaxGridY, kScratchBytes / std::max<int64_t>(bytes, 1)}));
}

RasterScratch carve(Pieces& pieces, const Mesh& mesh, int64_t views, const RasterSize& size, bool counted) {
  const int64_t few = raster_views_at_once(mesh, views, size, counted);
  RasterScratch scratch{};
  scratch.cameras = pieces.take<raster::Camera>(views);
  scratch.owned = pieces.take<uint32_t>(counted ? few * mesh.num_faces : 0);
  scratch.work.mesh = mesh;
  scratch.work.size = size;
  scratch.work.vertices = pieces.take<Projected>(few * mesh.num_vertices);
  scratch.work.listed = pieces.take<int32_t>(few * mesh.num_faces);
  scratch.work.counts = pieces.take<uint32_t>(few * 2);
  scratch.work.keys = pieces.take<uint64_t>(few * size.height * size.width);
  return scratch;
}

void check_arguments(const char* op, const Mesh& mesh, const Cameras& cameras, const RasterSize& size) {
  const auto expect = [op](const char* argument, bool good, const char* expected, const std::string& got) {
    if (!good)
      throw std::invalid_argument(std::string(op) + ": " + argument + ": expected " + expected + ", got " +
                                  got);
  };
  const auto expect_float = [&](const char* argument, Scalar scalar) {
    expect(argument, scalar == Scalar::kFloat32 || scalar == Scalar::kFloat64, "float32 or float64",
           "a 16-bit type");
  };
  raster::check_size(op, size);
  expect_float("vertices", mesh.scalar);
  expect_float("cam_from_world", cameras.poses);
  expect_float("intrinsics", cameras.lenses);
  expect("faces", mesh.num_faces <= INT32_MAX, "at most 2147483647", std::to_string(mesh.num_faces));
}

// Fills the keys of `views`.
void draw(const char* op, const RasterWork& work, int64_t views, Stream stream) {
  const int64_t pixels = views * work.size.height * work.size.width;
  fill_bytes(op, work.keys, 0xff, pixels * static_cast<int64_t>(sizeof(uint64_t)), stream);
  if (work.mesh.num_faces == 0) return;
  fill_bytes(op, work.counts, 0, views * 2 * static_cast<int64_t>(sizeof(uint32_t)), stream);
  launch(op, stream, project_vertices, {ceil_div(work.mesh.num_vertices, kRasterThreads), views},
         kRasterThreads, 0, work);
  launch(op, stream, draw_small, {ceil_div(work.mesh.num_faces, kRasterThreads), views}, kRasterThreads, 0,
         work);
  const Grid few = {std::max<int64_t>(1, ceil_div(kBlocksPerProcessor * multiprocessors(op), views)), views};
  launch(op, stream, draw_listed, few, kRasterThreads, 0, work);
  launch(op, stream, draw_hard, few, kRasterThreads, kRasterWarps * sizeof(HardFace), work);
}

// Draws all views, a few at a time: finish(the work, the first view, how many).
template <class Finish>
void run(const char* op, RasterScratch& scratch, const Cameras& cameras, bool counted, bool cull,
         Stream stream, const Finish& finish) {
  RasterWork& work = scratch.work;
  check(cudaGetLastError(), op);
  if (work.size.height * work.size.width == 0) return;
  launch(op, stream, prepare_cameras, {ceil_div(cameras.views, kRasterThreads)}, kRasterThreads, 0, cameras,
         scratch.cameras);
  const int64_t few = raster_views_at_once(work.mesh, cameras.views, work.size, counted);
  work.front_only = cull;
  for (int64_t first = 0; first < cameras.views; first += few) {
    const int64_t views = std::min(few, cameras.views - first);
    work.cameras = scratch.cameras + first;
    draw(op, work, views, stream);
    finish(first, views);
  }
}

}  // namespace

size_t rasterize_workspace(const Mesh& mesh, int64_t views, const RasterSize& size) {
  Pieces pieces;
  carve(pieces, mesh, views, size, false);
  return pieces.used();
}

void rasterize(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
               int32_t* triangle_ids, float* depth, float* barycentrics, const Workspace& workspace,
               Stream stream) {
  constexpr const char* op = "rasterize";
  check_arguments(op, mesh, cameras, size);
  Pieces pieces(workspace, op);
  RasterScratch scratch = carve(pieces, mesh, cameras.views, size, false);
  const int64_t pixels = size.height * size.width;
  run(op, scratch, cameras, false, cull, stream, [&](int64_t first, int64_t views) {
    RasterWork& work = scratch.work;
    work.ids = triangle_ids + first * pixels;
    work.depth = depth == nullptr ? nullptr : depth + first * pixels;
    work.barycentrics = barycentrics == nullptr ? nullptr : barycentrics + 2 * first * pixels;
    launch(op, stream, resolve_pixels, {ceil_div(pixels, kRasterThreads), views}, kRasterThreads, 0, work);
  });
}

size_t rasterize_visible_workspace(const Mesh& mesh, int64_t views, const RasterSize& size,
                                   int64_t min_pixels) {
  Pieces pieces;
  carve(pieces, mesh, views, size, min_pixels > 1);
  return pieces.used();
}

void rasterize_visible(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
                       int64_t min_pixels, uint64_t* bitsets, int64_t* counts, const Workspace& workspace,
                       Stream stream) {
  constexpr const char* op = "rasterize_visible";
  check_arguments(op, mesh, cameras, size);
  overlap::check_visible(op, mesh.num_faces, min_pixels);
  Pieces pieces(workspace, op);
  RasterScratch scratch = carve(pieces, mesh, cameras.views, size, min_pixels > 1);
  const int64_t words = words_of(mesh.num_faces);
  fill_bytes(op, bitsets, 0, cameras.views * words * static_cast<int64_t>(sizeof(uint64_t)), stream);
  fill_bytes(op, counts, 0, cameras.views * static_cast<int64_t>(sizeof(int64_t)), stream);
  // The low half of a key is the face, -1 where there is none.
  run(op, scratch, cameras, min_pixels > 1, cull, stream, [&](int64_t first, int64_t few) {
    const SetWork work{reinterpret_cast<const int32_t*>(scratch.work.keys),
                       2,
                       size.height * size.width,
                       mesh.num_faces,
                       words,
                       min_pixels,
                       bitsets + first * words,
                       counts + first,
                       scratch.owned};
    launch_sets(op, work, few, stream);
  });
}

}  // namespace cuda
}  // namespace mirror
