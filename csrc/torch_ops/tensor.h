// The only file that names torch's stable interface beyond the registration macros: what a tensor is, how to make one,
// and torch's threads as a Parallel.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "bindings/array.h"
#include "mirror/parallel.h"

namespace mirror::torch_ops {

using bindings::Array;
using bindings::DType;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

inline DType dtype_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Byte:
      return DType::kUInt8;
    case ScalarType::Int:
      return DType::kInt32;
    case ScalarType::Long:
      return DType::kInt64;
    case ScalarType::Float:
      return DType::kFloat32;
    case ScalarType::Double:
      return DType::kFloat64;
    case ScalarType::BFloat16:
      return DType::kBFloat16;
    case ScalarType::Half:
      return DType::kFloat16;
    default:
      return DType::kOther;
  }
}

// The tensors of one call: on one device, contiguous, aligned, and alive until the call returns.
class Inputs {
 public:
  Inputs(const char* op, const Tensor& first)
      : op_(op), cpu_(first.is_cpu()), index_(first.get_device_index()) {}

  Array operator()(const char* argument, const Tensor& tensor) {
    if (tensor.is_cpu() != cpu_ || tensor.get_device_index() != index_)
      bindings::fail(op_, argument, "a tensor on " + device(cpu_, index_),
                     "one on " + device(tensor.is_cpu(), tensor.get_device_index()));
    Tensor dense = torch::stable::contiguous(tensor);
    const int64_t alignment = cpu_ ? dense.element_size() : 16;  // CUDA kernels read 16 bytes at a time
    if (reinterpret_cast<uintptr_t>(dense.const_data_ptr()) % alignment != 0)
      dense = torch::stable::clone(dense);  // a view into bytes
    kept_.push_back(dense);
    const auto sizes = dense.sizes();
    return {dense.const_data_ptr(),
            dtype_of(dense),
            {sizes.begin(), sizes.end()},
            torch::headeronly::toString(dense.scalar_type())};
  }
  std::optional<Array> operator()(const char* argument, const OptionalTensor& tensor) {
    if (!tensor.has_value()) return std::nullopt;
    return (*this)(argument, *tensor);
  }

 private:
  static std::string device(bool cpu, int index) {
    return cpu ? "the CPU" : "CUDA device " + std::to_string(index);
  }

  const char* op_;
  bool cpu_;
  int index_;
  std::vector<Tensor> kept_;
};

// Uninitialised, contiguous, on the device of `like`.
inline Tensor make(const Tensor& like, std::initializer_list<int64_t> shape, ScalarType dtype) {
  return torch::stable::new_empty(like, {shape.begin(), shape.size()}, dtype);
}

template <class T>
T* data(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// torch.set_num_threads counts. Inside one of torch's own parallel regions everything runs on the calling thread.
inline Parallel torch_threads() {
  auto run = [](void*, int64_t begin, int64_t end, int64_t grain, ParallelBody body, void* context) {
    STABLE_TORCH_ERROR_CODE_CHECK(torch_parallel_for(begin, end, grain, body, context));
  };
  return {run, nullptr, static_cast<int>(torch::stable::get_num_threads())};
}

}  // namespace mirror::torch_ops
