#define MIRROR_VECTOR 16
#include "core/pooling_vectors.h"

namespace mirror {
namespace pooling {

template <class T>
Kernels<T> portable_kernels() {
  return kernels<T>();
}

template Kernels<float> portable_kernels();
template Kernels<double> portable_kernels();

}  // namespace pooling
}  // namespace mirror
