// The few calls of the CUDA runtime that callers without it need.
#include "core/launch_cuda.h"

namespace mirror {
namespace cuda {

void use_device(int device) { check(cudaSetDevice(device), "mirror"); }

int64_t read_back(const int64_t* value, Stream stream) {
  int64_t result = 0;
  check(cudaMemcpyAsync(&result, value, sizeof result, cudaMemcpyDeviceToHost, stream), "mirror");
  check(cudaStreamSynchronize(stream), "mirror");
  return result;
}

}  // namespace cuda
}  // namespace mirror
