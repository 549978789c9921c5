// How numbers are stored.
#pragma once

namespace mirror {

// bfloat16 and float16 are storage: they are widened to float32, and arithmetic is float32, or float64 for float64.
enum class Scalar : int { kFloat32 = 0, kFloat64 = 1, kBFloat16 = 2, kFloat16 = 3 };

}  // namespace mirror
