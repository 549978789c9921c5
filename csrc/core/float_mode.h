// The caller's thread may have been told to flush denormals or to round in another direction. Results must
// not depend on that: while a FloatMode lives, its thread computes as IEEE 754 has it.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace mirror {

class FloatMode {
 public:
#if defined(__SSE2__)
  FloatMode() : callers_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
  ~FloatMode() { _mm_setcsr(callers_); }
#else
  FloatMode() {}
#endif
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

#if defined(__SSE2__)
 private:
  unsigned callers_;
#endif
};

}  // namespace mirror
