// What every launcher needs: errors in words, the shape of the device, pieces of the workspace.
#pragma once

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "cuda_emulator.h"
#endif

#include <cstdint>
#include <stdexcept>
#include <string>

#include "mirror/cuda.h"

namespace mirror {
namespace cuda {

inline void check(cudaError_t status, const char* op) {
  if (status != cudaSuccess)
    throw std::runtime_error(std::string(op) + ": CUDA: " + cudaGetErrorString(status));
}

struct Grid {
  int64_t x, y = 1;
};
constexpr int64_t kMaxGridY = 65535;

// kernel<<<...>>>(arguments...), its error in words. A kernel over no blocks is not launched.
template <class... Parameters, class... Arguments>
void launch(const char* op, Stream stream, void (*kernel)(Parameters...), Grid grid, int threads,
            int64_t shared, Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  if (grid.x > INT32_MAX || grid.y > kMaxGridY)
    throw std::invalid_argument(std::string(op) + ": too much work for one launch");
#if defined(__CUDACC__)
  const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y));
  kernel<<<blocks, threads, static_cast<size_t>(shared), stream>>>(arguments...);
  check(cudaGetLastError(), op);
#else
  static_cast<void>(stream);
  emulator::launch({static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), 1},
                   static_cast<unsigned>(threads), static_cast<size_t>(shared),
                   [&] { kernel(arguments...); });
#endif
}

// Nothing is asked of CUDA where there is nothing to fill.
inline void fill_bytes(const char* op, void* data, int value, int64_t bytes, Stream stream) {
  if (bytes > 0) check(cudaMemsetAsync(data, value, static_cast<size_t>(bytes), stream), op);
}

inline int device_attribute(cudaDeviceAttr attribute, const char* op) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), op);
  check(cudaDeviceGetAttribute(&value, attribute, device), op);
  return value;
}
inline int multiprocessors(const char* op) { return device_attribute(cudaDevAttrMultiProcessorCount, op); }
inline int shared_limit(const char* op) {
  return device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, op);
}

// More than 48 KB of dynamic shared memory have to be asked for.
template <class Kernel>
void allow_shared(Kernel kernel, int64_t bytes, const char* op) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        op);
}

constexpr int64_t ceil_div(int64_t n, int64_t step) { return (n + step - 1) / step; }

// Deals out pieces of the workspace, each aligned to 256 bytes. Over no memory at all it only counts.
class Pieces {
 public:
  Pieces() = default;
  Pieces(const Workspace& workspace, const char* op)
      : base_(static_cast<unsigned char*>(workspace.data)), limit_(workspace.bytes), op_(op) {}

  template <class T>
  T* take(int64_t count) {
    const size_t at = used_;
    used_ += (static_cast<size_t>(count) * sizeof(T) + 255) / 256 * 256;
    if (op_ == nullptr) return nullptr;
    if (used_ > limit_)
      throw std::invalid_argument(std::string(op_) + ": workspace: expected at least " +
                                  std::to_string(used_) + " bytes, got " + std::to_string(limit_));
    return count == 0 ? nullptr : reinterpret_cast<T*>(base_ + at);
  }
  size_t used() const { return used_; }

 private:
  unsigned char* base_ = nullptr;
  size_t limit_ = 0, used_ = 0;
  const char* op_ = nullptr;
};

}  // namespace cuda
}  // namespace mirror
