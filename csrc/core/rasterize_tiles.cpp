#include "core/rasterize_tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mirror {
namespace raster {
namespace {

struct TileRange {
  int32_t x0, y0, x1, y1;  // inclusive; x0 > x1: none
};
constexpr TileRange kNowhere = {0, 0, -1, -1};

// The tiles that the projection of a cluster's box touches, one pixel added for rounding. Of a box that reaches the near
// plane nothing is known but whether it is all beyond one side of the picture.
TileRange range_of(const View& view, const Cluster& cluster) {
  const Camera& camera = view.camera;
  const Point middle = point_of(camera, cluster.middle[0], cluster.middle[1], cluster.middle[2]);
  const double *const m = camera.m, *const reach = cluster.reach;
  double least_z = std::numeric_limits<double>::infinity(), most_z = -least_z;
  double sides[4] = {-least_z, -least_z, -least_z, -least_z};  // how far into the picture, from each of them
  double size = reach[0] + reach[1] + reach[2];                // of the numbers that are added up
  double left = least_z, right = -least_z, top = least_z, bottom = -least_z;
  for (int corner = 0; corner < 8; ++corner) {
    const double x = corner & 1 ? reach[0] : -reach[0], y = corner & 2 ? reach[1] : -reach[1],
                 z = corner & 4 ? reach[2] : -reach[2];
    const double depth = middle.z + (m[6] * x + m[7] * y + m[8] * z);
    const double u = middle.u + (m[0] * x + m[1] * y + m[2] * z);
    const double v = middle.v + (m[3] * x + m[4] * y + m[5] * z);
    size = std::max(size, std::abs(u) + std::abs(v) + (view.width + view.height) * std::abs(depth));
    const double w = 1 / depth, i = u * w, j = v * w;
    sides[0] = std::max(sides[0], u + depth), sides[1] = std::max(sides[1], (view.width + 1) * depth - u);
    sides[2] = std::max(sides[2], v + depth), sides[3] = std::max(sides[3], (view.height + 1) * depth - v);
    least_z = std::min(least_z, depth), most_z = std::max(most_z, depth);
    left = std::min(left, i), right = std::max(right, i);
    top = std::min(top, j), bottom = std::max(bottom, j);
  }
  const int32_t columns = static_cast<int32_t>(tiles_along(view.width)),
                rows = static_cast<int32_t>(tiles_along(view.height));
  const TileRange everywhere = {0, 0, columns - 1, rows - 1};
  const double rounding = 1e-12 * size;  // of any of these numbers, and more
  if (!(size < 1e100)) return everywhere;
  if (most_z < camera.near - rounding) return kNowhere;
  for (const double side : sides)
    if (side < -rounding) return kNowhere;
  if (!(least_z > camera.near + rounding && rounding < 0.5 * least_z)) return everywhere;
  const auto tile = [](double pixel, int32_t count) {
    return static_cast<int32_t>(std::min(std::max(pixel / kTileSide, 0.0), count - 1.0));
  };
  return {tile(left - 1, columns), tile(top - 1, rows), tile(right + 1, columns), tile(bottom + 1, rows)};
}

}  // namespace

Bins bin_clusters(const View& view, const std::vector<Cluster>& clusters) {
  const int64_t columns = tiles_along(view.width), tiles = columns * tiles_along(view.height);
  Bins bins;
  bins.starts.assign(static_cast<size_t>(tiles + 1), 0);
  std::vector<TileRange> ranges(clusters.size());
  const auto each_tile = [&](const TileRange& range, const auto& work) {
    for (int64_t y = range.y0; y <= range.y1; ++y)
      for (int64_t x = range.x0; x <= range.x1; ++x) work(static_cast<size_t>(y * columns + x));
  };
  for (size_t c = 0; c < clusters.size(); ++c) {
    ranges[c] = range_of(view, clusters[c]);
    each_tile(ranges[c], [&](size_t tile) { ++bins.starts[tile + 1]; });
  }
  for (size_t t = 0; t < static_cast<size_t>(tiles); ++t) bins.starts[t + 1] += bins.starts[t];
  bins.clusters.resize(static_cast<size_t>(bins.starts.back()));
  std::vector<int64_t> next(bins.starts.begin(), bins.starts.end() - 1);
  for (size_t c = 0; c < clusters.size(); ++c)
    each_tile(ranges[c], [&](size_t tile) {
      bins.clusters[static_cast<size_t>(next[tile]++)] = static_cast<uint32_t>(c);
    });
  return bins;
}

const Tile& Painter::operator()(const View& view, const std::vector<Cluster>& clusters, const Bins& bins,
                                int64_t number) {
  const int64_t columns = tiles_along(view.width);
  const int32_t x0 = static_cast<int32_t>(number % columns) * kTileSide,
                y0 = static_cast<int32_t>(number / columns) * kTileSide;
  tile_ = {x0,
           y0,
           std::min(x0 + kTileSide, view.width) - 1,
           std::min(y0 + kTileSide, view.height) - 1,
           depth_.get(),
           ids_.get(),
           kStride};
  const int64_t cells = (tile_.y1 - y0 + 1) * kStride;
  std::fill_n(tile_.depth, cells, 0.0f);
  std::fill_n(tile_.ids, cells, -1);
  const size_t t = static_cast<size_t>(number);
  for (int64_t k = bins.starts[t]; k < bins.starts[t + 1]; ++k)
    kernels_.draw(view, tile_, clusters[bins.clusters[static_cast<size_t>(k)]], scratch_[0]);
  return tile_;
}

}  // namespace raster
}  // namespace mirror
