// The choice of instructions, and who draws what: tasks are tiles of views, several views at a time.
#include "mirror/rasterize.h"

#include <algorithm>
#include <vector>

#include "core/float_mode.h"
#include "core/huge_pages.h"
#include "core/isa.h"
#include "core/overlap_check.h"
#include "core/overlap_visible.h"
#include "core/rasterize_check.h"
#include "core/rasterize_mesh.h"
#include "core/rasterize_tiles.h"
#include "core/tasks.h"
#include "mirror/overlap.h"

namespace mirror {
namespace {

using namespace raster;

Kernels selected_kernels() {
#if defined(MIRROR_X86)
  const Isa isa = isa_selected();
  if (isa >= Isa::kAvx512) return avx512_kernels();
  if (isa >= Isa::kAvx2) return avx2_kernels();
#endif
  return portable_kernels();
}

// Everything about a call that its tasks share.
struct Scene {
  Mesh mesh;
  RasterSize size;
  std::vector<View> views;
  Clusters clusters;
  Kernels kernels;

  Scene(const char* op, const Mesh& given, const Cameras& cameras, const RasterSize& raster_size, bool cull,
        const Parallel& parallel)
      : mesh(checked(op, given, raster_size, parallel)),
        size(raster_size),
        views(views_of(op, mesh, cameras, raster_size, cull)),
        clusters(views.empty() || size.height * size.width == 0 ? Mesh{} : mesh, parallel),
        kernels(selected_kernels()) {}
  Scene(const Scene&) = delete;  // views point to the mesh
  Scene& operator=(const Scene&) = delete;

 private:
  static const Mesh& checked(const char* op, const Mesh& mesh, const RasterSize& size,
                             const Parallel& parallel) {
    check_size(op, size);
    check_mesh(op, mesh, parallel);
    return mesh;
  }
  static std::vector<View> views_of(const char* op, const Mesh& mesh, const Cameras& cameras,
                                    const RasterSize& size, bool cull) {
    std::vector<View> views;
    for (const Camera& camera : cameras_of(op, cameras))
      views.push_back(
          {&mesh, camera, static_cast<int32_t>(size.width), static_cast<int32_t>(size.height), cull});
    return views;
  }
};

// The tiles of views first..last-1, drawn by all threads. sink(view, tile) has the view's number.
template <class Sink>
void paint(const Scene& scene, int64_t first, int64_t last, const Parallel& parallel, const Sink& sink) {
  const int64_t tiles = tiles_of(scene.size);
  std::vector<Bins> bins(static_cast<size_t>(last - first));
  const auto view = [&](int64_t n) -> const View& { return scene.views[static_cast<size_t>(n)]; };
  run_tasks(parallel, last - first, [&] {
    return [&](int64_t n) {
      const FloatMode mode;
      bins[static_cast<size_t>(n)] = bin_clusters(view(first + n), scene.clusters.all());
    };
  });
  run_tasks(parallel, (last - first) * tiles, [&] {
    return [&, painter = Painter(scene.kernels)](int64_t task) mutable {
      const FloatMode mode;
      const int64_t n = task / tiles;
      sink(first + n,
           painter(view(first + n), scene.clusters.all(), bins[static_cast<size_t>(n)], task % tiles));
    };
  });
}

// Outputs of rasterize: what a tile writes.
struct Maps {
  const Scene& scene;
  int32_t* triangle_ids;
  float *depth, *barycentrics;

  void operator()(int64_t n, const Tile& tile) const {
    const int64_t width = tile.x1 - tile.x0 + 1;
    for (int32_t j = tile.y0; j <= tile.y1; ++j) {
      const int64_t from = (j - tile.y0) * tile.stride;
      const int64_t to = (n * scene.size.height + j) * scene.size.width + tile.x0;
      std::copy_n(tile.ids + from, width, triangle_ids + to);
      if (depth != nullptr) scene.kernels.invert(tile.depth + from, width, depth + to);
      if (barycentrics != nullptr)
        weigh(scene.views[static_cast<size_t>(n)], tile.ids + from, tile.x0, j, width, barycentrics + 2 * to);
    }
  }

  // Neighbours often show the same face: its corners are kept.
  static void weigh(const View& view, const int32_t* ids, int32_t x0, int32_t j, int64_t width,
                    float* weights) {
    const Mesh& mesh = *view.mesh;
    Point corners[3] = {};
    int32_t known = -1;
    for (int64_t k = 0; k < width; ++k, weights += 2) {
      weights[0] = weights[1] = 0;
      if (ids[k] < 0) continue;
      for (int side = 0; ids[k] != known && side < 3; ++side) {
        const int64_t at = 3 * int64_t{mesh.faces[3 * int64_t{ids[k]} + side]};
        corners[side] =
            point_of(view.camera, number(mesh.vertices, mesh.scalar, at),
                     number(mesh.vertices, mesh.scalar, at + 1), number(mesh.vertices, mesh.scalar, at + 2));
      }
      known = ids[k];
      barycentric(corners[0], corners[1], corners[2], x0 + static_cast<int32_t>(k), j, weights);
    }
  }
};

// Views whose bins are in memory at a time.
int64_t batch_of(const Parallel& parallel) { return std::max<int64_t>(4, 2 * int64_t{parallel.threads}); }

template <class T>
void wish_pages(T* data, int64_t count) {
  if (data != nullptr) wish_huge_pages(data, static_cast<size_t>(count) * sizeof(T));
}

}  // namespace

void rasterize(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
               int32_t* triangle_ids, float* depth, float* barycentrics, const Parallel& parallel) {
  const FloatMode mode;
  const Scene scene("rasterize", mesh, cameras, size, cull, parallel);
  const int64_t pixels = cameras.views * size.height * size.width;
  wish_pages(triangle_ids, pixels), wish_pages(depth, pixels), wish_pages(barycentrics, 2 * pixels);
  const Maps maps{scene, triangle_ids, depth, barycentrics};
  const int64_t batch = batch_of(parallel);
  for (int64_t first = 0; first < cameras.views; first += batch)
    paint(scene, first, std::min(cameras.views, first + batch), parallel, maps);
}

void rasterize_visible(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
                       int64_t min_pixels, uint64_t* bitsets, int64_t* counts, const Parallel& parallel) {
  constexpr const char* op = "rasterize_visible";
  const FloatMode mode;
  overlap::check_visible(op, mesh.num_faces, min_pixels);
  const Scene scene(op, mesh, cameras, size, cull, parallel);
  const int64_t words = words_of(mesh.num_faces), tiles = tiles_of(size);
  if (cameras.views >= parallel.threads) {  // a view for each thread, tile by tile
    run_tasks(parallel, cameras.views, [&] {
      return [&, set = overlap::VisibleSet(mesh.num_faces, min_pixels),
              painter = Painter(scene.kernels)](int64_t n) mutable {
        const FloatMode mode;
        const View& view = scene.views[static_cast<size_t>(n)];
        const Bins bins = bin_clusters(view, scene.clusters.all());
        set.start(bitsets + n * words);
        for (int64_t t = 0; t < tiles; ++t) {
          const Tile& tile = painter(view, scene.clusters.all(), bins, t);
          for (int32_t j = tile.y0; j <= tile.y1; ++j)
            set.add(tile.ids + (j - tile.y0) * tile.stride, tile.x1 - tile.x0 + 1, op, n);
        }
        counts[n] = set.finish();
      };
    });
    return;
  }
  overlap::VisibleSet set(mesh.num_faces, min_pixels);
  Buffer<int32_t> map(size.height * size.width);
  for (int64_t n = 0; n < cameras.views; ++n) {
    paint(scene, n, n + 1, parallel, [&](int64_t, const Tile& tile) {
      for (int32_t j = tile.y0; j <= tile.y1; ++j)
        std::copy_n(tile.ids + (j - tile.y0) * tile.stride, tile.x1 - tile.x0 + 1,
                    map.get() + j * size.width + tile.x0);
    });
    set.start(bitsets + n * words);
    set.add(map.get(), size.height * size.width, op, n);
    counts[n] = set.finish();
  }
}

}  // namespace mirror
