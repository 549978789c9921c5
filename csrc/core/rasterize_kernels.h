// What the instruction sets differ in: drawing clusters into a tile of one view's picture.
#pragma once

#include <cstdint>

#include "core/rasterize_mesh.h"
#include "core/rasterize_setup.h"
#include "mirror/rasterize.h"

namespace mirror {
namespace raster {

struct View {
  const Mesh* mesh;
  Camera camera;
  int32_t width, height;
  bool cull;
};

// Pixels x0..x1, y0..y1 (inclusive) of the picture. Nothing yet: inverse depth 0, id -1.
struct Tile {
  int32_t x0, y0, x1, y1;
  float* depth;  // inverse; pixel (i, j) at depth[(j - y0) * stride + i - x0]
  int32_t* ids;
  int64_t stride;  // at least kOverhang more than the width: what is drawn beyond x1 has no meaning
};
constexpr int kOverhang = 16;

// A cluster's vertices in the view, then those of its faces that may own a pixel, close together.
struct alignas(64) Scratch {
  int32_t x[kVertices], y[kVertices];  // 1/4096 pixels
  float w[kVertices];                  // inverse depth; 0: outside the planes, x and y have no meaning
  int32_t px[kFaces + kPadding], py[kFaces + kPadding], qx[kFaces + kPadding], qy[kFaces + kPadding],
      rx[kFaces + kPadding], ry[kFaces + kPadding];
  int32_t p[kFaces + kPadding], q[kFaces + kPadding], r[kFaces + kPadding];  // vertices
  int32_t ids[kFaces + kPadding];
};

struct Kernels {
  void (*draw)(const View& view, const Tile& tile, const Cluster& cluster, Scratch& scratch);
  // depth[i] = 1 / inverse[i]: infinite for 0.
  void (*invert)(const float* inverse, int64_t count, float* depth);
};

Kernels portable_kernels();
#if defined(MIRROR_X86)
Kernels avx2_kernels();
Kernels avx512_kernels();
#endif

// One that the vectors do not take: larger than kSmall pixels, or across a plane.
void draw_face(const View& view, const Tile& tile, int32_t face);

// Boxes of at most this many pixels have edges within int32, and products within float64.
constexpr int32_t kSmall = 256;

}  // namespace raster
}  // namespace mirror
