// Which triangle of a mesh every pixel of a pinhole camera shows, and how far away it is.
//
// A pixel shows what the ray through its centre (i + 1/2, j + 1/2) meets first. Corners are projected in float64 and rounded to
// 1/4096 of a pixel; from there on coverage is exact integer arithmetic, so that every pixel of a closed surface has one
// owner: centres on an edge belong to the face whose top or left edge it is. The same bits on every processor, for every
// number of threads.
#pragma once

#include <cstdint>

#include "mirror/parallel.h"
#include "mirror/scalar.h"

namespace mirror {

struct Mesh {
  const void* vertices = nullptr;  // [num_vertices, 3], contiguous, float32 or float64 as `scalar` says
  Scalar scalar = Scalar::kFloat32;
  int64_t num_vertices = 0;
  const int32_t* faces = nullptr;  // [num_faces, 3]
  int64_t num_faces = 0;           // <= INT32_MAX
};

// Pinhole cameras: x right, y down, z forward. A vertex X is at K (R X + t); only what has z >= near is seen.
struct Cameras {
  const void* cam_from_world = nullptr;  // [views, 3, 4] = (R | t), contiguous, of type `poses`
  Scalar poses = Scalar::kFloat32;       // float32 or float64
  const void* intrinsics = nullptr;      // [views, 4] = (fx, fy, cx, cy) in pixels, of type `lenses`
  Scalar lenses = Scalar::kFloat32;      // float32 or float64
  const double* near = nullptr;          // [views], > 0
  int64_t views = 0;
};

struct RasterSize {
  int64_t height = 0;
  int64_t width = 0;  // both <= kMaxRasterSide, height * width <= INT32_MAX
};

constexpr int64_t kMaxRasterSide = 65536;

// triangle_ids [views, height, width]: the face with the least depth, of several the lowest; -1 where there is none.
// depth [views, height, width] or nullptr: z in the camera's frame, +inf where there is none. It is the reciprocal of
// the inverse depth, which is a plane over the picture, evaluated in float32 and kept within that of the face's corners.
// barycentrics [views, height, width, 2] or nullptr: weights of the face's vertices 0 and 1 at the point that is seen
// (perspective-correct; the third is 1 minus both), 0..1; 0 where there is none.
//
// Faces across the near plane are clipped. Faces with a vertex that is not finite, and faces whose area is zero once their
// corners are rounded, own no pixel. `cull` drops the faces that are seen from behind: a front has its normal, by the right-hand
// rule over vertices 0, 1, 2, towards the camera.
//
// std::invalid_argument: an index that is no vertex's; a camera that is not finite, R singular, fx or fy <= 0, near not
// in 1e-30..1e30; sizes beyond the limits.
void rasterize(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
               int32_t* triangle_ids, float* depth, float* barycentrics, const Parallel& parallel);

// bitsets [views, words_of(num_faces)], counts [views]: visible_triangles (overlap.h) of the maps that rasterize gives,
// without them: one map, or a part of it, for each thread.
void rasterize_visible(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
                       int64_t min_pixels, uint64_t* bitsets, int64_t* counts, const Parallel& parallel);

}  // namespace mirror
