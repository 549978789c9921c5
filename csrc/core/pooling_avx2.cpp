#define MIRROR_VECTOR 32
#include "core/pooling_vectors.h"

namespace mirror {
namespace pooling {

template <class T>
Kernels<T> avx2_kernels() {
  return kernels<T>();
}

template Kernels<float> avx2_kernels();
template Kernels<double> avx2_kernels();

}  // namespace pooling
}  // namespace mirror
