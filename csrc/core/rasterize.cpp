// First version: plain.
#include "mirror/rasterize.h"

#include <algorithm>

#include "../../tests/cpp/rasterize_plain.h"
#include "core/float_mode.h"
#include "core/overlap_check.h"
#include "core/overlap_visible.h"
#include "core/rasterize_check.h"
#include "core/tasks.h"
#include "mirror/overlap.h"

namespace mirror {
namespace {
Cameras one(const Cameras& c, int64_t view) {
  Cameras r = c;
  const auto at = [&](const void* p, Scalar s, int64_t n) {
    return static_cast<const char*>(p) + n * (s == Scalar::kFloat64 ? 8 : 4);
  };
  r.cam_from_world = at(c.cam_from_world, c.poses, 12 * view);
  r.intrinsics = at(c.intrinsics, c.lenses, 4 * view);
  r.near = c.near + view;
  r.views = 1;
  return r;
}
}  // namespace

void rasterize(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
               int32_t* triangle_ids, float* depth, float* barycentrics, const Parallel& parallel) {
  constexpr const char* op = "rasterize";
  raster::check_size(op, size);
  raster::check_mesh(op, mesh, parallel);
  raster::cameras_of(op, cameras);
  const int64_t pixels = size.height * size.width;
  run_tasks(parallel, cameras.views, [&] {
    return [&](int64_t view) {
      const FloatMode mode;
      const plain::Maps maps = plain::rasterize(mesh, one(cameras, view), size, cull);
      std::copy(maps.ids.begin(), maps.ids.end(), triangle_ids + view * pixels);
      if (depth != nullptr) std::copy(maps.depth.begin(), maps.depth.end(), depth + view * pixels);
      if (barycentrics != nullptr)
        std::copy(maps.barycentrics.begin(), maps.barycentrics.end(), barycentrics + 2 * view * pixels);
    };
  });
}

void rasterize_visible(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
                       int64_t min_pixels, uint64_t* bitsets, int64_t* counts, const Parallel& parallel) {
  constexpr const char* op = "rasterize_visible";
  raster::check_size(op, size);
  overlap::check_visible(op, mesh.num_faces, min_pixels);
  raster::check_mesh(op, mesh, parallel);
  raster::cameras_of(op, cameras);
  const int64_t pixels = size.height * size.width, words = words_of(mesh.num_faces);
  run_tasks(parallel, cameras.views, [&] {
    return [&, set = overlap::VisibleSet(mesh.num_faces, min_pixels)](int64_t view) mutable {
      const FloatMode mode;
      const plain::Maps maps = plain::rasterize(mesh, one(cameras, view), size, cull);
      set.start(bitsets + view * words);
      set.add(maps.ids.data(), pixels, op, view);
      counts[view] = set.finish();
    };
  });
}

}  // namespace mirror
