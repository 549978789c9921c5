// rasterize once more, as plainly as it can be said: every face, every pixel of its box. What the fast one is compared
// with, bit by bit.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/rasterize_check.h"
#include "core/rasterize_setup.h"

namespace plain {

struct Maps {
  std::vector<int32_t> ids;
  std::vector<float> depth, barycentrics;
};

inline mirror::raster::Point point(const mirror::Mesh& mesh, const mirror::raster::Camera& camera,
                                   int64_t face, int corner) {
  const int64_t vertex = mesh.faces[3 * face + corner];
  const auto at = [&](int axis) {
    return mirror::raster::number(mesh.vertices, mesh.scalar, 3 * vertex + axis);
  };
  return point_of(camera, at(0), at(1), at(2));
}

inline Maps rasterize(const mirror::Mesh& mesh, const mirror::Cameras& cameras,
                      const mirror::RasterSize& size, bool cull) {
  using namespace mirror::raster;
  const int64_t pixels = size.height * size.width;
  Maps maps{std::vector<int32_t>(cameras.views * pixels, -1),
            std::vector<float>(cameras.views * pixels, std::numeric_limits<float>::infinity()),
            std::vector<float>(cameras.views * pixels * 2, 0)};
  const std::vector<Camera> ready = cameras_of("plain", cameras);
  for (int64_t view = 0; view < cameras.views; ++view) {
    const Camera& camera = ready[static_cast<size_t>(view)];
    std::vector<float> nearest(pixels, 0);
    int32_t* const ids = maps.ids.data() + view * pixels;
    const auto draw = [&](const Corner& p, const Corner& q, const Corner& r, bool turned, int32_t face) {
      Triangle t;
      if (!set_up(p, q, r, size.width, size.height, cull, turned, t)) return;
      for (int32_t j = t.y0; j <= t.y1; ++j)
        for (int32_t i = t.x0; i <= t.x1; ++i) {
          const int64_t at = j * size.width + i;
          const float w = inverse_depth(t, i, j);
          if (covers(t, i, j) && in_front(w, face, nearest[at], ids[at])) nearest[at] = w, ids[at] = face;
        }
    };
    for (int32_t face = 0; face < mesh.num_faces; ++face) {
      const Point p = point(mesh, camera, face, 0), q = point(mesh, camera, face, 1),
                  r = point(mesh, camera, face, 2);
      if (inside(camera, p) && inside(camera, q) && inside(camera, r)) {
        draw(corner_of(p), corner_of(q), corner_of(r), false, face);
        continue;
      }
      const Polygon polygon = clip(camera, p, q, r);
      for (int k = 1; k + 1 < polygon.count; ++k)
        draw(polygon.corners[0], polygon.corners[k], polygon.corners[k + 1], polygon.turned, face);
    }
    for (int64_t at = 0; at < pixels; ++at) {
      if (ids[at] < 0) continue;
      const int32_t i = static_cast<int32_t>(at % size.width), j = static_cast<int32_t>(at / size.width);
      maps.depth[view * pixels + at] = 1 / nearest[at];
      barycentric(point(mesh, camera, ids[at], 0), point(mesh, camera, ids[at], 1),
                  point(mesh, camera, ids[at], 2), i, j, &maps.barycentrics[2 * (view * pixels + at)]);
    }
  }
  return maps;
}

}  // namespace plain
