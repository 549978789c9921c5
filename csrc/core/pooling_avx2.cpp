#define MIRROR_VECTOR 32
#include "core/pooling_interleave_avx.h"
#include "core/pooling_vectors.h"

namespace mirror {
namespace pooling {

template <>
Kernels<float> avx2_kernels() {
  Kernels<float> result = kernels<float>();
  result.interleave = interleave_floats<kLanes<float>>;
  return result;
}

template <>
Kernels<double> avx2_kernels() {
  return kernels<double>();
}

}  // namespace pooling
}  // namespace mirror
