#define MIRROR_VECTOR 64
#include "core/pooling_vectors.h"

namespace mirror {
namespace pooling {

template <class T>
Kernels<T> avx512_kernels() {
  return kernels<T>();
}

template Kernels<float> avx512_kernels();
template Kernels<double> avx512_kernels();

}  // namespace pooling
}  // namespace mirror
