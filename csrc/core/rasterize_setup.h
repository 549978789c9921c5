// The arithmetic of rasterize, for CPU and CUDA alike: what a vertex, a clipped face, an edge and a pixel are. Every
// function is pure, its operations have one order and are never fused, so that a vertex or a face has the same bits
// wherever, and however often, it is worked out.
//
//   vertex X -> Point (u, v, z) = K R (X - C), float64            homogeneous: the pixel is (u / z, v / z)
//            -> Corner (x, y, w), 1/4096 pixels and 1 / z         clip() first where the vertex is not inside()
//   three Corners -> Triangle: box of pixels, edges (int), plane of inverse depth (float32)
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace mirror {
namespace raster {

constexpr int kSubpixelBits = 12;
constexpr int32_t kSubpixels = 1 << kSubpixelBits;
// Faces are clipped at this many pixels from the origin: coordinates stay within 2^29 and products within int64.
constexpr double kGuard = 131072;

struct Camera {
  double m[9];  // K R, row by row
  double c[3];  // the centre, -R^-1 t
  double near;
};

struct Point {
  double u, v, z;
};

struct Corner {
  int32_t x, y;  // 1/4096 pixels
  float w;       // inverse depth
};

// pose [3, 4] = (R | t), lens = (fx, fy, cx, cy). The centre comes from the inverse of R, not from its transpose: poses that
// were rounded to float32 are rotations but for 1e-7, and t may be large.
MIRROR_HOST_DEVICE inline Camera camera_of(const double* pose, const double* lens, double near) {
  const double *const r = pose, *const s = pose + 4, *const t = pose + 8;
  const double rows[3][3] = {
      {s[1] * t[2] - s[2] * t[1], r[2] * t[1] - r[1] * t[2], r[1] * s[2] - r[2] * s[1]},
      {s[2] * t[0] - s[0] * t[2], r[0] * t[2] - r[2] * t[0], r[2] * s[0] - r[0] * s[2]},
      {s[0] * t[1] - s[1] * t[0], r[1] * t[0] - r[0] * t[1], r[0] * s[1] - r[1] * s[0]}};
  const double det = (r[0] * rows[0][0] + r[1] * rows[1][0]) + r[2] * rows[2][0];
  Camera camera;
  for (int k = 0; k < 3; ++k) {
    camera.m[k] = lens[0] * r[k] + lens[2] * t[k];
    camera.m[3 + k] = lens[1] * s[k] + lens[3] * t[k];
    camera.m[6 + k] = t[k];
    camera.c[k] = -((rows[k][0] * r[3] + rows[k][1] * s[3]) + rows[k][2] * t[3]) / det;
  }
  camera.near = near;
  return camera;
}

// K R (X - C): the difference first, which is exact enough for coordinates as large as those of a national grid.
MIRROR_HOST_DEVICE inline Point point_of(const Camera& camera, double x, double y, double z) {
  const double* const m = camera.m;
  const double dx = x - camera.c[0], dy = y - camera.c[1], dz = z - camera.c[2];
  return {(m[0] * dx + m[1] * dy) + m[2] * dz, (m[3] * dx + m[4] * dy) + m[5] * dz,
          (m[6] * dx + m[7] * dy) + m[8] * dz};
}

// Signed distances to the near plane and to the four sides of the guard band, up to scale; >= 0 inside.
constexpr int kPlanes = 5;
MIRROR_HOST_DEVICE inline double distance(const Camera& camera, const Point& p, int plane) {
  switch (plane) {
    case 0:
      return p.z - camera.near;
    case 1:
      return kGuard * p.z - p.u;
    case 2:
      return kGuard * p.z + p.u;
    case 3:
      return kGuard * p.z - p.v;
    default:
      return kGuard * p.z + p.v;
  }
}

// What is further away than this is nowhere: nothing below overflows.
constexpr double kFar = 1e150;

// False for a NaN and for infinity. The same as five distances >= 0, written as comparisons.
MIRROR_HOST_DEVICE inline bool inside(const Camera& camera, const Point& p) {
  const double reach = kGuard * p.z;
  return p.z >= camera.near && p.z <= kFar && p.u <= reach && -p.u <= reach && p.v <= reach && -p.v <= reach;
}

MIRROR_HOST_DEVICE inline bool finite(const Point& p) {
  return p.u <= kFar && -p.u <= kFar && p.v <= kFar && -p.v <= kFar && p.z <= kFar && -p.z <= kFar;
}

// To the nearest integer, ties to even; |x| < 2^51.
MIRROR_HOST_DEVICE inline int32_t nearest(double x) {
  constexpr double kShift = 6755399441055744;  // 1.5 * 2^52: no bits are left for a fraction
  return static_cast<int32_t>((x + kShift) - kShift);
}

MIRROR_HOST_DEVICE inline Corner corner_of(const Point& p) {
  const double w = 1 / p.z;
  return {nearest(p.u * w * kSubpixels), nearest(p.v * w * kSubpixels), static_cast<float>(w)};
}

// ---- clipping --------------------------------------------------------------------------------------------------------

MIRROR_HOST_DEVICE inline bool before(const Point& p, const Point& q) {
  if (p.z != q.z) return p.z < q.z;
  return p.u != q.u ? p.u < q.u : p.v < q.v;
}

// Where the edge meets the plane: the mean of its ends, each weighted by the other's distance, so that an end far away does
// not drown the near one. Turned around, the edge gives the same bits: faces that share it get the same point.
MIRROR_HOST_DEVICE inline Point cut(const Camera& camera, const Point& p, const Point& q, int plane) {
  const double dp = distance(camera, p, plane), dq = distance(camera, q, plane), sum = dp - dq;
  const double z = (q.z * dp - p.z * dq) / sum;
  return {(q.u * dp - p.u * dq) / sum, (q.v * dp - p.v * dq) / sum, z > camera.near ? z : camera.near};
}

// Where near is tiny, rounding may have carried a cut point far out of the guard band.
MIRROR_HOST_DEVICE inline double kept_within(double x, double reach) {
  return x < -reach ? -reach : x > reach ? reach : x;
}

constexpr int kMaxCorners = 3 + kPlanes;
struct Polygon {
  Corner corners[kMaxCorners];
  int count;    // 0: nothing is left; else pieces (0, k, k + 1), 0 < k < count - 1
  bool turned;  // the corners run against the face's own sense
};

// The part of a face inside all planes (Sutherland and Hodgman), in `points`; how many they are, 0 where nothing is left.
// It starts from the face's points in a fixed order, so that faces that lie on each other have the same pieces whatever their
// first vertex and sense. points, kept: room for kMaxCorners each (CUDA kernels have them in shared memory).
MIRROR_HOST_DEVICE inline int clip_points(const Camera& camera, Point p, Point q, Point r, Point* points,
                                          Point* kept, bool* turned) {
  *turned = false;
  if (!finite(p) || !finite(q) || !finite(r)) return 0;
  const auto sort = [&](Point& a, Point& b) {
    if (!before(b, a)) return;
    const Point other = a;
    a = b, b = other, *turned = !*turned;
  };
  sort(p, q), sort(q, r), sort(p, q);
  points[0] = p, points[1] = q, points[2] = r;
  int count = 3;
  for (int plane = 0; plane < kPlanes; ++plane) {
    int left = 0;
    for (int k = 0; k < count; ++k) {
      const Point &a = points[k], &b = points[k + 1 < count ? k + 1 : 0];
      const bool a_in = distance(camera, a, plane) >= 0, b_in = distance(camera, b, plane) >= 0;
      if (a_in && left < kMaxCorners) kept[left++] = a;
      if (a_in != b_in && left < kMaxCorners) kept[left++] = cut(camera, a, b, plane);
    }
    count = left;
    for (int k = 0; k < count; ++k) points[k] = kept[k];
  }
  for (int k = 0; k < count; ++k) {
    const double reach = kGuard * points[k].z;
    points[k].u = kept_within(points[k].u, reach), points[k].v = kept_within(points[k].v, reach);
  }
  return count < 3 ? 0 : count;
}

MIRROR_HOST_DEVICE inline Polygon clip(const Camera& camera, const Point& p, const Point& q, const Point& r) {
  Polygon result;
  Point points[kMaxCorners], kept[kMaxCorners];
  result.count = clip_points(camera, p, q, r, points, kept, &result.turned);
  for (int k = 0; k < result.count; ++k) result.corners[k] = corner_of(points[k]);
  return result;
}

// ---- triangles and pixels --------------------------------------------------------------------------------------------

struct Triangle {
  int32_t x0, y0, x1, y1;  // the pixels it may own, in the picture; none where x0 > x1 or y0 > y1
  int32_t a[3], b[3];      // pixel (i, j) is on the inner side of edge k where
  int64_t c[3];            //   a[k] i + b[k] j + c[k] >= 0
  int32_t x, y;            // inverse depth: w at pixel (x, y), a corner of the box,
  float w, gx, gy;         //   and its step from pixel to pixel
  float low, high;         //   of the three corners
};

// a / 4096 rounded down.
MIRROR_HOST_DEVICE inline int64_t shifted(int64_t a) { return a >> kSubpixelBits; }

// The edge from p to q has its inner side where A (x - p.x) + B (y - p.y) > 0, x and y in 1/4096 pixels; = 0 is inside
// for left edges (A > 0) and top edges (A = 0 < B). At the centre of pixel (i, j), x = 4096 i + 2048: A and B are
// multiplied by 4096, so that the rest may be divided by it and rounded down.
MIRROR_HOST_DEVICE inline void set_edge(Triangle& t, int k, const Corner& p, const Corner& q) {
  const int64_t a = int64_t{p.y} - q.y, b = int64_t{q.x} - p.x;
  const bool owns = a > 0 || (a == 0 && b > 0);
  const int64_t half = kSubpixels / 2;
  t.a[k] = static_cast<int32_t>(a), t.b[k] = static_cast<int32_t>(b);
  t.c[k] = shifted(a * (half - p.x) + b * (half - p.y) - (owns ? 0 : 1));
}

MIRROR_HOST_DEVICE inline int64_t doubled_area(const Corner& p, const Corner& q, const Corner& r) {
  return (int64_t{q.x} - p.x) * (int64_t{r.y} - p.y) - (int64_t{q.y} - p.y) * (int64_t{r.x} - p.x);
}

MIRROR_HOST_DEVICE inline bool left_of(const Corner& p, const Corner& q) {
  return p.x < q.x || (p.x == q.x && p.y < q.y);
}

// Inverse depth is linear over the picture: w = w_p + gx (x - x_p) + gy (y - y_p) through the three corners. It is kept at
// the corner of the box where it is least, so that the terms added to it are positive and nothing cancels.
MIRROR_HOST_DEVICE inline void set_plane(Triangle& t, const Corner& p, const Corner& q, const Corner& r,
                                         double area) {
  const double qx = q.x - p.x, qy = q.y - p.y, rx = r.x - p.x, ry = r.y - p.y;
  const double qw = static_cast<double>(q.w) - p.w, rw = static_cast<double>(r.w) - p.w;
  const double scale = kSubpixels / area;
  const double gx = (qw * ry - rw * qy) * scale, gy = (rw * qx - qw * rx) * scale;
  t.gx = static_cast<float>(gx), t.gy = static_cast<float>(gy);
  t.x = t.gx < 0 ? t.x1 : t.x0, t.y = t.gy < 0 ? t.y1 : t.y0;
  constexpr int32_t kHalf = kSubpixels / 2;
  constexpr double kPixel = 1.0 / kSubpixels;
  const double ox = (t.x * kSubpixels + kHalf - p.x) * kPixel, oy = (t.y * kSubpixels + kHalf - p.y) * kPixel;
  t.w = static_cast<float>(p.w + (gx * ox + gy * oy));
  const float low = q.w < r.w ? q.w : r.w, high = q.w > r.w ? q.w : r.w;
  t.low = p.w < low ? p.w : low, t.high = p.w > high ? p.w : high;
}

// False where the three corners own no pixel of the picture. `front_only`: a face is seen from behind where its doubled
// area is positive (y is down); `turned`: the corners run against the face's sense. The result depends neither on the first
// corner nor on the sense.
MIRROR_HOST_DEVICE inline bool set_up(Corner p, Corner q, Corner r, int64_t width, int64_t height,
                                      bool front_only, bool turned, Triangle& t) {
  const auto least = [](int32_t a, int32_t b) { return a < b ? a : b; };
  const auto most = [](int32_t a, int32_t b) { return a > b ? a : b; };
  constexpr int32_t kHalf = kSubpixels / 2;
  t.x0 = most((least(p.x, least(q.x, r.x)) + kHalf - 1) >> kSubpixelBits, 0);
  t.y0 = most((least(p.y, least(q.y, r.y)) + kHalf - 1) >> kSubpixelBits, 0);
  t.x1 = least((most(p.x, most(q.x, r.x)) - kHalf) >> kSubpixelBits, static_cast<int32_t>(width) - 1);
  t.y1 = least((most(p.y, most(q.y, r.y)) - kHalf) >> kSubpixelBits, static_cast<int32_t>(height) - 1);
  if (t.x0 > t.x1 || t.y0 > t.y1) return false;
  int64_t area = doubled_area(p, q, r);
  if (area == 0 || (front_only && (area > 0) != turned)) return false;
  if (area < 0) {
    const Corner kept = q;
    q = r, r = kept, area = -area;
  }
  while (!(left_of(p, q) && left_of(p, r))) {  // the leftmost first, the highest of them
    const Corner kept = p;
    p = q, q = r, r = kept;
  }
  set_edge(t, 0, p, q), set_edge(t, 1, q, r), set_edge(t, 2, r, p);
  set_plane(t, p, q, r, static_cast<double>(area));
  return true;
}

MIRROR_HOST_DEVICE inline bool covers(const Triangle& t, int32_t i, int32_t j) {
  for (int k = 0; k < 3; ++k)
    if (int64_t{t.a[k]} * i + int64_t{t.b[k]} * j + t.c[k] < 0) return false;
  return true;
}

// At the centre of a pixel of the box. (A NaN, from a plane too steep for float32, becomes the lowest.)
MIRROR_HOST_DEVICE inline float inverse_depth(const Triangle& t, int32_t i, int32_t j) {
  const float w = t.w + (t.gx * static_cast<float>(i - t.x) + t.gy * static_cast<float>(j - t.y));
  const float raised = w > t.low ? w : t.low;
  return raised < t.high ? raised : t.high;
}

// Is (w, id) in front of (other, other_id)? Nothing yet: other = 0, other_id = -1.
MIRROR_HOST_DEVICE inline bool in_front(float w, int32_t id, float other, int32_t other_id) {
  return w > other || (w == other && id < other_id);
}

// ---- barycentrics ----------------------------------------------------------------------------------------------------

// Weights of p and q where the ray through the centre of the pixel meets the plane of the face, kept within 0..1 (the
// rounded face may own a pixel whose ray passes just outside). Volumes of the ray with two corners each, in float64.
MIRROR_HOST_DEVICE inline void barycentric(const Point& p, const Point& q, const Point& r, int32_t i,
                                           int32_t j, float* weights) {
  const double x = i + 0.5, y = j + 0.5;
  const auto volume = [&](const Point& a, const Point& b) {
    const double ax = a.u - x * a.z, ay = a.v - y * a.z, bx = b.u - x * b.z, by = b.v - y * b.z;
    return ax * by - ay * bx;
  };
  const double a = volume(q, r), b = volume(r, p), c = volume(p, q), sum = (a + b) + c;
  const auto share = [&](double part) {
    const double s = part / sum;
    return s > 0 ? (s < 1 ? s : 1.0) : 0.0;  // a face seen from its edge: NaN becomes 0
  };
  const double first = share(a), second = share(b), rest = 1 - first;
  weights[0] = static_cast<float>(first);
  weights[1] = static_cast<float>(second < rest ? second : rest);
}

}  // namespace raster
}  // namespace mirror
