// The rasteriser on CUDA. Arithmetic is that of rasterize_setup.h; who comes first does not matter, because a pixel keeps the
// least of all keys
//   ~inverse depth : 32 | face : 32          least depth first, then the lowest face
//
//   project_vertices  thread = vertex
//   draw_small        thread = face: small ones are drawn, others listed for one warp or for many
//   draw_listed       warp = face of up to 16 tiles of 32 x 32 pixels
//   draw_hard         warp = a share of the tiles of a large or clipped face
//   resolve_pixels    thread = pixel
// Views lie side by side: view = blockIdx.y.
#pragma once

#include <cmath>

#include "core/device.cuh"
#include "core/half.h"
#include "core/host_device.h"
#include "core/rasterize_setup.h"
#include "mirror/rasterize.h"

namespace mirror {
namespace cuda {

constexpr int kRasterWarps = 8;
constexpr int kRasterThreads = 32 * kRasterWarps;
constexpr int64_t kSmallBox = 24;     // pixels that one thread looks at
constexpr int kTile = 32;             // pixels a side
constexpr int64_t kListedTiles = 16;  // that one warp looks at
constexpr uint64_t kNoFace = ~uint64_t{0};

// Corner of a vertex in one view, or why it has none.
enum VertexState : int32_t { kInside, kOutside, kBehind };
struct alignas(16) Projected {
  raster::Corner corner;
  int32_t state;
};

// Work of a few views.
struct RasterWork {
  Mesh mesh;
  RasterSize size;
  bool front_only;
  const raster::Camera* cameras;  // [views]
  Projected* vertices;            // [views, num_vertices]
  int32_t* listed;      // [views, num_faces]: for one warp from the front on, for many from the back
  uint32_t* counts;     // [views, 2], zeros: how many they are
  uint64_t* keys;       // [views, height, width], all kNoFace
  int32_t* ids;         // [views, height, width]
  float* depth;         // [views, height, width]
  float* barycentrics;  // [views, height, width, 2] or nullptr
};

// ---- cameras and vertices --------------------------------------------------------------------------------------------

MIRROR_HOST_DEVICE inline double widened(const void* data, Scalar scalar, int64_t i) {
  return scalar == Scalar::kFloat64 ? static_cast<const double*>(data)[i]
                                    : static_cast<double>(static_cast<const float*>(data)[i]);
}

// thread = camera
static __global__ void __launch_bounds__(kRasterThreads)
    prepare_cameras(Cameras cameras, raster::Camera* prepared) {
  const int64_t view = static_cast<int64_t>(blockIdx.x) * kRasterThreads + threadIdx.x;
  if (view >= cameras.views) return;
  double pose[12], lens[4];
#pragma unroll
  for (int i = 0; i < 12; ++i) pose[i] = widened(cameras.cam_from_world, cameras.poses, 12 * view + i);
#pragma unroll
  for (int i = 0; i < 4; ++i) lens[i] = widened(cameras.intrinsics, cameras.lenses, 4 * view + i);
  prepared[view] = raster::camera_of(pose, lens, cameras.near[view]);
}

__device__ inline raster::Point project(const RasterWork& work, const raster::Camera& camera,
                                        int64_t vertex) {
  const auto at = [&](int axis) { return widened(work.mesh.vertices, work.mesh.scalar, 3 * vertex + axis); };
  return raster::point_of(camera, at(0), at(1), at(2));
}

static __global__ void __launch_bounds__(kRasterThreads) project_vertices(RasterWork work) {
  const int64_t vertex = static_cast<int64_t>(blockIdx.x) * kRasterThreads + threadIdx.x, view = blockIdx.y;
  if (vertex >= work.mesh.num_vertices) return;
  const raster::Camera& camera = work.cameras[view];
  const raster::Point point = project(work, camera, vertex);
  Projected projected{{0, 0, 0}, point.z >= camera.near ? kOutside : kBehind};
  if (raster::inside(camera, point)) projected = {raster::corner_of(point), kInside};
  work.vertices[view * work.mesh.num_vertices + vertex] = projected;
}

// ---- pixels ----------------------------------------------------------------------------------------------------------

// An inverse depth of 0 (a depth beyond float32) is nothing.
__device__ inline void show(uint64_t* pixel, float w, int32_t face) {
  if (!(w > 0)) return;
  const uint64_t key = static_cast<uint64_t>(~float_to_bits(w)) << 32 | static_cast<uint32_t>(face);
  if (key < *pixel) atomic_min(pixel, key);  // a stale pixel costs an atomic, no more
}

__device__ inline int64_t edge_at(const raster::Triangle& t, int k, int32_t i, int32_t j) {
  return int64_t{t.a[k]} * i + int64_t{t.b[k]} * j + t.c[k];
}

// The pixels of the box from (i, j) on, every `across`-th of every `down`-th row, up to (last_i, last_j).
template <int kAcross, int kDown>
__device__ inline void draw_pixels(const RasterWork& work, uint64_t* keys, const raster::Triangle& t,
                                   int32_t face, int32_t i, int32_t j, int32_t last_i, int32_t last_j) {
  const int64_t step0 = int64_t{t.a[0]} * kAcross, step1 = int64_t{t.a[1]} * kAcross,
                step2 = int64_t{t.a[2]} * kAcross;
  for (; j <= last_j; j += kDown) {
    int64_t e0 = edge_at(t, 0, i, j), e1 = edge_at(t, 1, i, j), e2 = edge_at(t, 2, i, j);
    for (int32_t x = i; x <= last_i; x += kAcross) {
      if ((e0 | e1 | e2) >= 0) show(keys + j * work.size.width + x, raster::inverse_depth(t, x, j), face);
      e0 += step0, e1 += step1, e2 += step2;
    }
  }
}

// Tiles of 32 x 32 pixels that cover the box of a triangle.
struct Tiles {
  int32_t across;
  int64_t count;
};
__device__ inline Tiles tiles_of(const raster::Triangle& t) {
  const int32_t across = (t.x1 - t.x0) / kTile + 1;
  return {across, int64_t{across} * ((t.y1 - t.y0) / kTile + 1)};
}

// warp = tile, 8 x 4 pixels at a time
__device__ inline void draw_tile(const RasterWork& work, uint64_t* keys, const raster::Triangle& t,
                                 int32_t face, const Tiles& tiles, int64_t tile) {
  const int32_t left = t.x0 + kTile * static_cast<int32_t>(tile % tiles.across);
  const int32_t top = t.y0 + kTile * static_cast<int32_t>(tile / tiles.across);
  const int32_t right = left + kTile - 1 < t.x1 ? left + kTile - 1 : t.x1;
  const int32_t bottom = top + kTile - 1 < t.y1 ? top + kTile - 1 : t.y1;
#pragma unroll
  for (int k = 0; k < 3; ++k)  // where the edge function is largest
    if (edge_at(t, k, t.a[k] > 0 ? right : left, t.b[k] > 0 ? bottom : top) < 0) return;
  const int32_t lane = static_cast<int32_t>(threadIdx.x) % 32;
  draw_pixels<8, 4>(work, keys, t, face, left + lane % 8, top + lane / 8, right, bottom);
}

// ---- faces -----------------------------------------------------------------------------------------------------------

struct Face {
  int64_t a, b, c;  // vertices
};
__device__ inline Face face_of(const RasterWork& work, int64_t face) {
  return {work.mesh.faces[3 * face], work.mesh.faces[3 * face + 1], work.mesh.faces[3 * face + 2]};
}
__device__ inline bool exists(const RasterWork& work, const Face& face) {
  const int64_t count = work.mesh.num_vertices;
  return face.a >= 0 && face.a < count && face.b >= 0 && face.b < count && face.c >= 0 && face.c < count;
}

__device__ inline bool set_up(const RasterWork& work, const raster::Corner& p, const raster::Corner& q,
                              const raster::Corner& r, bool turned, raster::Triangle& t) {
  return raster::set_up(p, q, r, work.size.width, work.size.height, work.front_only, turned, t);
}

enum Listing : int { kDone = -1, kOneWarp = 0, kManyWarps = 1 };

// Draws the face if it is small, else says who shall.
__device__ inline Listing draw_face(const RasterWork& work, int64_t view, int32_t number) {
  const Face face = face_of(work, number);
  if (!exists(work, face)) return kDone;
  const Projected* const vertices = work.vertices + view * work.mesh.num_vertices;
  const Projected p = vertices[face.a], q = vertices[face.b], r = vertices[face.c];
  if (p.state == kBehind && q.state == kBehind && r.state == kBehind) return kDone;
  if (p.state != kInside || q.state != kInside || r.state != kInside) return kManyWarps;
  raster::Triangle t;
  if (!set_up(work, p.corner, q.corner, r.corner, false, t)) return kDone;
  if (int64_t{t.x1 - t.x0 + 1} * (t.y1 - t.y0 + 1) > kSmallBox)
    return tiles_of(t).count <= kListedTiles ? kOneWarp : kManyWarps;
  uint64_t* const keys = work.keys + view * work.size.height * work.size.width;
  draw_pixels<1, 1>(work, keys, t, number, t.x0, t.y0, t.x1, t.y1);
  return kDone;
}

__device__ inline int32_t& listed_face(const RasterWork& work, int64_t view, Listing list, int64_t i) {
  const int64_t faces = work.mesh.num_faces;
  return work.listed[view * faces + (list == kOneWarp ? i : faces - 1 - i)];
}

// One addition for a warp.
__device__ inline void list_face(const RasterWork& work, int64_t view, int32_t face, Listing list,
                                 bool listed) {
  const unsigned lanes = __ballot_sync(0xffffffffu, listed);
  if (lanes == 0) return;
  const unsigned lane = threadIdx.x % 32;
  uint32_t first = 0;
  if (lane == 0) first = atomicAdd(work.counts + 2 * view + list, static_cast<uint32_t>(__popc(lanes)));
  first = __shfl_sync(0xffffffffu, first, 0);
  if (listed) listed_face(work, view, list, first + __popc(lanes & ((1u << lane) - 1))) = face;
}

static __global__ void __launch_bounds__(kRasterThreads) draw_small(RasterWork work) {
  const int64_t face = static_cast<int64_t>(blockIdx.x) * kRasterThreads + threadIdx.x, view = blockIdx.y;
  const int32_t number = static_cast<int32_t>(face);
  const Listing listing = face < work.mesh.num_faces ? draw_face(work, view, number) : kDone;
  list_face(work, view, number, kOneWarp, listing == kOneWarp);
  list_face(work, view, number, kManyWarps, listing == kManyWarps);
}

static __global__ void __launch_bounds__(kRasterThreads) draw_listed(RasterWork work) {
  const int64_t view = blockIdx.y, count = work.counts[2 * view + kOneWarp];
  const int64_t warps = static_cast<int64_t>(gridDim.x) * kRasterWarps;
  const Projected* const vertices = work.vertices + view * work.mesh.num_vertices;
  uint64_t* const keys = work.keys + view * work.size.height * work.size.width;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kRasterWarps + threadIdx.x / 32; i < count;
       i += warps) {
    const int32_t number = listed_face(work, view, kOneWarp, i);
    const Face face = face_of(work, number);
    raster::Triangle t;
    if (!set_up(work, vertices[face.a].corner, vertices[face.b].corner, vertices[face.c].corner, false, t))
      continue;
    const Tiles tiles = tiles_of(t);
    for (int64_t tile = 0; tile < tiles.count; ++tile) draw_tile(work, keys, t, number, tiles, tile);
  }
}

// ---- large and clipped faces -----------------------------------------------------------------------------------------

// A warp's, in shared memory.
struct HardFace {
  raster::Point points[raster::kMaxCorners], kept[raster::kMaxCorners];
  raster::Corner corners[raster::kMaxCorners];
  int32_t count;  // of corners: pieces (0, k, k + 1)
  bool turned;
};

__device__ inline void cut_face(const RasterWork& work, int64_t view, int32_t number, HardFace& hard) {
  const Face face = face_of(work, number);
  const Projected* const vertices = work.vertices + view * work.mesh.num_vertices;
  const Projected &p = vertices[face.a], &q = vertices[face.b], &r = vertices[face.c];
  if (p.state == kInside && q.state == kInside && r.state == kInside) {
    hard.corners[0] = p.corner, hard.corners[1] = q.corner, hard.corners[2] = r.corner;
    hard.count = 3, hard.turned = false;
    return;
  }
  const raster::Camera& camera = work.cameras[view];
  hard.count = raster::clip_points(camera, project(work, camera, face.a), project(work, camera, face.b),
                                   project(work, camera, face.c), hard.points, hard.kept, &hard.turned);
  for (int k = 0; k < hard.count; ++k) hard.corners[k] = raster::corner_of(hard.points[k]);
}

// Few faces are shared by many warps, each of which takes every `shares`-th tile.
constexpr int64_t kMostShares = 64;
static __global__ void __launch_bounds__(kRasterThreads) draw_hard(RasterWork work) {
  const int64_t view = blockIdx.y, count = work.counts[2 * view + kManyWarps];
  if (count == 0) return;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * kRasterWarps, spread = warps / count;
  const int64_t shares = spread < 1 ? 1 : spread > kMostShares ? kMostShares : spread;
  HardFace& hard = reinterpret_cast<HardFace*>(shared_memory())[threadIdx.x / 32];
  uint64_t* const keys = work.keys + view * work.size.height * work.size.width;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kRasterWarps + threadIdx.x / 32; i < count * shares;
       i += warps) {
    const int32_t number = listed_face(work, view, kManyWarps, i / shares);
    __syncwarp();
    if (threadIdx.x % 32 == 0) cut_face(work, view, number, hard);
    __syncwarp();
    for (int k = 1; k + 1 < hard.count; ++k) {
      raster::Triangle t;
      if (!set_up(work, hard.corners[0], hard.corners[k], hard.corners[k + 1], hard.turned, t)) continue;
      const Tiles tiles = tiles_of(t);
      for (int64_t tile = i % shares; tile < tiles.count; tile += shares)
        draw_tile(work, keys, t, number, tiles, tile);
    }
  }
}

// ---- results ---------------------------------------------------------------------------------------------------------

static __global__ void __launch_bounds__(kRasterThreads) resolve_pixels(RasterWork work) {
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * kRasterThreads + threadIdx.x, view = blockIdx.y;
  if (pixel >= work.size.height * work.size.width) return;
  const int64_t at = view * work.size.height * work.size.width + pixel;
  const uint64_t key = work.keys[at];
  const int32_t id = static_cast<int32_t>(static_cast<uint32_t>(key));
  work.ids[at] = id;
  if (work.depth != nullptr)
    work.depth[at] =
        id < 0 ? bits_to_float(0x7f800000u) : 1 / bits_to_float(~static_cast<uint32_t>(key >> 32));
  if (work.barycentrics == nullptr) return;
  float* const weights = work.barycentrics + 2 * at;
  weights[0] = weights[1] = 0;
  if (id < 0) return;
  const raster::Camera& camera = work.cameras[view];
  const Face face = face_of(work, id);
  raster::barycentric(project(work, camera, face.a), project(work, camera, face.b),
                      project(work, camera, face.c), static_cast<int32_t>(pixel % work.size.width),
                      static_cast<int32_t>(pixel / work.size.width), weights);
}

}  // namespace cuda
}  // namespace mirror
