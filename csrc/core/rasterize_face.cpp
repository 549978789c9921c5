// One face by itself: clipped where it must be, then row by row between its edges, whatever its size.
#include <algorithm>

#include "core/rasterize_check.h"
#include "core/rasterize_kernels.h"

namespace mirror {
namespace raster {
namespace {

// a i + e >= 0 narrows first..last.
void narrow(int64_t a, int64_t e, int64_t& first, int64_t& last) {
  if (a > 0)
    first = std::max(first, e >= 0 ? -(e / a) : (-e + a - 1) / a);
  else if (a < 0)
    last = std::min(last, e >= 0 ? e / -a : -((-e - a - 1) / -a));
  else if (e < 0)
    last = first - 1;
}

// Row by row, whatever its size: the pixels between its edges, by division.
void fill_spans(const Triangle& t, const Tile& tile, int32_t face) {
  const int32_t top = std::max(t.y0, tile.y0), bottom = std::min(t.y1, tile.y1);
  for (int32_t j = top; j <= bottom; ++j) {
    int64_t first = std::max(t.x0, tile.x0), last = std::min(t.x1, tile.x1);
    for (int k = 0; k < 3; ++k) narrow(t.a[k], int64_t{t.b[k]} * j + t.c[k], first, last);
    float* const depth = tile.depth + (j - tile.y0) * tile.stride;
    int32_t* const ids = tile.ids + (j - tile.y0) * tile.stride;
    for (int64_t i = first; i <= last; ++i) {
      const float w = inverse_depth(t, static_cast<int32_t>(i), j);
      const int64_t at = i - tile.x0;
      const bool front = in_front(w, face, depth[at], ids[at]);
      depth[at] = front ? w : depth[at];
      ids[at] = front ? face : ids[at];
    }
  }
}

}  // namespace

void draw_face(const View& view, const Tile& tile, int32_t face) {
  const Mesh& mesh = *view.mesh;
  const auto point = [&](int side) {
    const int64_t at = 3 * int64_t{mesh.faces[3 * int64_t{face} + side]};
    return point_of(view.camera, number(mesh.vertices, mesh.scalar, at),
                    number(mesh.vertices, mesh.scalar, at + 1), number(mesh.vertices, mesh.scalar, at + 2));
  };
  const Point p = point(0), q = point(1), r = point(2);
  // All behind, or all beyond one side of the tile (and a pixel more, for rounding)?
  const auto all = [&](const auto& beyond) { return beyond(p) && beyond(q) && beyond(r); };
  if (all([&](const Point& a) { return a.z < view.camera.near; }) ||
      all([&](const Point& a) { return a.u < (tile.x0 - 1) * a.z; }) ||
      all([&](const Point& a) { return a.u > (tile.x1 + 2) * a.z; }) ||
      all([&](const Point& a) { return a.v < (tile.y0 - 1) * a.z; }) ||
      all([&](const Point& a) { return a.v > (tile.y1 + 2) * a.z; }))
    return;
  const auto draw_piece = [&](const Corner& a, const Corner& b, const Corner& c, bool turned) {
    Triangle t;
    if (set_up(a, b, c, view.width, view.height, view.cull, turned, t)) fill_spans(t, tile, face);
  };
  if (inside(view.camera, p) && inside(view.camera, q) && inside(view.camera, r))
    return draw_piece(corner_of(p), corner_of(q), corner_of(r), false);
  const Polygon polygon = clip(view.camera, p, q, r);
  for (int k = 1; k + 1 < polygon.count; ++k)
    draw_piece(polygon.corners[0], polygon.corners[k], polygon.corners[k + 1], polygon.turned);
}

}  // namespace raster
}  // namespace mirror
