// Decides in float32 what is far from every limit of local similarity support, with a margin above the rounding errors:
// yes, no, or doubtful. Plain C++ in vectors, compiled once for every instruction set by the file that includes it:
// hence static. Results do not depend on it, because what is doubtful is decided in float64 by the caller.
#pragma once

#include <cmath>
#include <cstdint>

#include "mirror/similarity_support.h"

namespace mirror {

// Matches as structure of arrays: position in a (x, y) and b (z, w), transform R = [c -s; s c].
template <class T>
struct SupportColumns {
  T *x, *y, *z, *w, *c, *s;
};

// The limits of one pair in float32; those of |u| squared, with a margin to either side.
struct SupportLimits {
  float tolerance, near, surely_above, perhaps_above, surely_below, perhaps_below;
};

// For one m: counts those n < m that surely support it, for both, and marks the doubtful. Are there any?
using SupportSieve = bool (*)(const SupportColumns<float>& matches, int64_t m, const SupportLimits& limits,
                              int32_t* supporters, int32_t* doubtful);
#if defined(MIRROR_X86)
bool support_sieve_avx2(const SupportColumns<float>&, int64_t, const SupportLimits&, int32_t*, int32_t*);
bool support_sieve_avx512(const SupportColumns<float>&, int64_t, const SupportLimits&, int32_t*, int32_t*);
#endif

namespace {

struct Verdict {
  int32_t yes, no;
};

// Does R u agree with v? Rounding moves e = |R u - v| by less than 1e-6 (|R u| + |v|) <= 1e-6 (2 l + e), and the limit
// by less than 1e-6 of itself. Comparisons with a NaN neither accept nor reject.
inline Verdict judge(float cosine, float sine, float ux, float uy, float vx, float vy, float observed,
                     const SupportLimits& limits) {
  const float px = cosine * ux - sine * uy, py = sine * ux + cosine * uy;
  const float ex = px - vx, ey = py - vy, predicted = px * px + py * py;
  const float e = sqrtf(ex * ex + ey * ey), l = sqrtf(observed < predicted ? observed : predicted);
  const float limit = limits.tolerance * l + limits.near;
  const float margin = 1e-5f * (fabsf(limit) + l + e) + 1e-18f;
  return {e<limit - margin, e> limit + margin};
}

inline bool sift_couples(const SupportColumns<float>& k, int64_t m, const SupportLimits& limits,
                         int32_t* supporters, int32_t* doubtful) {
  const float x = k.x[m], y = k.y[m], z = k.z[m], w = k.w[m], c = k.c[m], s = k.s[m];
  int32_t sure = 0, doubts = 0;
  for (int64_t n = 0; n < m; ++n) {  // no branch, no dependence: the compiler makes vectors of this
    const float ux = k.x[n] - x, uy = k.y[n] - y, vx = k.z[n] - z, vy = k.w[n] - w;
    const float apart = ux * ux + uy * uy, observed = vx * vx + vy * vy;
    const Verdict by_m = judge(c, s, ux, uy, vx, vy, observed, limits);
    const Verdict by_n = judge(k.c[n], k.s[n], ux, uy, vx, vy, observed, limits);
    const int32_t inside = (apart > limits.surely_above) & (apart < limits.surely_below);
    const int32_t outside = (apart < limits.perhaps_above) | (apart > limits.perhaps_below);
    const int32_t yes = (by_m.yes | by_n.yes) & inside, no = (by_m.no & by_n.no) | outside;
    supporters[n] += yes;
    sure += yes;
    doubtful[n] = (yes | no) ^ 1;
    doubts |= doubtful[n];
  }
  supporters[m] += sure;
  return doubts != 0;
}

}  // namespace
}  // namespace mirror
