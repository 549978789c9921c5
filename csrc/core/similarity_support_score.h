// The arithmetic of local similarity support, for CPU and CUDA alike. float64, single correctly rounded operations in a
// fixed order: the same bits everywhere.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/host_device.h"
#include "mirror/similarity_support.h"

namespace mirror {

struct Turn {
  double cosine;
  double sine;
};

// Of an angle in degrees. Not libm's, whose last bit differs from machine to machine: fmod is exact, the rest
// is ours.
static MIRROR_HOST_DEVICE inline Turn turn(double degrees) {
  const double nothing = degrees - degrees;  // NaN for NaN and infinity
  if (!(nothing == 0)) return {nothing, nothing};
  const double wrapped = fmod(degrees, 360.0);                 // (-360, 360)
  const int quarter = static_cast<int>(wrapped / 90.0 + 4.5);  // 0..8, nearest multiple of 90 degrees
  const double x = (wrapped - 90.0 * (quarter - 4)) * 0.017453292519943295;  // [-pi/4, pi/4]
  const double y = x * x;
  double s = 0, c = 0;  // Taylor series, alternating: the first term left out is below 1e-18
  for (int k = 16; k >= 2; k -= 2) {
    s = (1 + s) * (-y / ((k + 1) * k));
    c = (1 + c) * (-y / (k * (k - 1)));
  }
  s = x * (1 + s);
  c = 1 + c;
  switch (quarter & 3) {
    case 0:
      return {c, s};
    case 1:
      return {-s, c};
    case 2:
      return {-c, -s};
    default:
      return {s, -c};
  }
}

// A match: position in photo a (x, y) and b (z, w), its transform R = [c -s; s c].
struct LocatedMatch {
  double x, y, z, w, c, s;
};

// p and q are rows (x, y, scale, angle) of the key points.
static MIRROR_HOST_DEVICE inline LocatedMatch locate(const float* p, const float* q) {
  const double grow = static_cast<double>(q[2]) / static_cast<double>(p[2]);
  const Turn t = turn(static_cast<double>(q[3]) - static_cast<double>(p[3]));
  return {p[0], p[1], q[0], q[1], grow * t.cosine, grow * t.sine};
}

// u, v: the offset of one match from another in photo a and b. Does R u agree with v?
static MIRROR_HOST_DEVICE inline bool predicts(double cosine, double sine, double ux, double uy, double vx,
                                               double vy, double tolerance, double near) {
  const double px = cosine * ux - sine * uy, py = sine * ux + cosine * uy;
  const double ex = px - vx, ey = py - vy;
  const double predicted = px * px + py * py, observed = vx * vx + vy * vy;
  const double shorter = sqrt(observed < predicted ? observed : predicted);
  return sqrt(ex * ex + ey * ey) < tolerance * shorter + near;
}

// Do the matches support each other? supports(m, n) = supports(n, m), to the bit: offsets only change their sign.
static MIRROR_HOST_DEVICE inline bool supports(const LocatedMatch& m, const LocatedMatch& n,
                                               const SupportOptions& options, double diagonal) {
  const double near = options.near * diagonal;
  const double ux = n.x - m.x, uy = n.y - m.y, vx = n.z - m.z, vy = n.w - m.w;
  const double apart = sqrt(ux * ux + uy * uy);
  if (!(apart > near && apart < options.far * diagonal)) return false;
  return predicts(m.c, m.s, ux, uy, vx, vy, options.tolerance, near) ||
         predicts(n.c, n.s, ux, uy, vx, vy, options.tolerance, near);
}

// What a match is worth, from its two ratios.
static MIRROR_HOST_DEVICE inline double support_weight(const float* ratios) {
  const double ratio = ratios[1] < ratios[0] ? ratios[1] : ratios[0];
  return ratio >= 0 && ratio <= 1 ? 1 - ratio : 0;
}

// The fewest supporters that make one of `count` matches good.
static MIRROR_HOST_DEVICE inline double enough_supporters(const SupportOptions& options, int64_t count) {
  const double share = static_cast<double>(options.min_share) * static_cast<double>(count);
  return share > options.min_support ? share : static_cast<double>(options.min_support);
}

}  // namespace mirror
