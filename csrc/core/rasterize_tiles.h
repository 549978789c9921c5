// One view cut into tiles, and which clusters each of them may show.
#pragma once

#include <cstdint>
#include <vector>

#include "core/rasterize_kernels.h"
#include "core/rasterize_mesh.h"
#include "core/tasks.h"

namespace mirror {
namespace raster {

// Depth and ids of a tile stay in the second cache.
constexpr int32_t kTileSide = 256;

inline int64_t tiles_along(int64_t pixels) { return (pixels + kTileSide - 1) / kTileSide; }
inline int64_t tiles_of(const RasterSize& size) { return tiles_along(size.height) * tiles_along(size.width); }

// The clusters of tile t are clusters[starts[t]] to clusters[starts[t + 1] - 1], rising.
struct Bins {
  std::vector<int64_t> starts;
  std::vector<uint32_t> clusters;
};
Bins bin_clusters(const View& view, const std::vector<Cluster>& clusters);

// Owned by one thread: a tile and what it takes to draw it.
class Painter {
 public:
  explicit Painter(const Kernels& kernels)
      : kernels_(kernels), scratch_(1), depth_(kStride * kTileSide), ids_(kStride * kTileSide) {}

  // Draws tile `number` of the view. It is valid until the next call.
  const Tile& operator()(const View& view, const std::vector<Cluster>& clusters, const Bins& bins,
                         int64_t number);

 private:
  static constexpr int64_t kStride = kTileSide + kOverhang;
  Kernels kernels_;
  Buffer<Scratch> scratch_;
  Buffer<float> depth_;
  Buffer<int32_t> ids_;
  Tile tile_;
};

}  // namespace raster
}  // namespace mirror
