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
    case ScalarType::Bool:
      return DType::kBool;
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
    expect_here(argument, tensor);
    // CUDA kernels read 16 bytes at a time.
    const Tensor dense = torch::stable::contiguous(tensor);
    return view(aligned(dense, cpu_ ? dense.element_size() : 16));
  }
  std::optional<Array> operator()(const char* argument, const OptionalTensor& tensor) {
    if (!tensor.has_value()) return std::nullopt;
    return (*this)(argument, *tensor);
  }

  // As it lies in memory: not made contiguous, aligned to its elements.
  Array strided(const char* argument, const Tensor& tensor) {
    expect_here(argument, tensor);
    const Tensor kept = aligned(tensor, tensor.element_size());
    Array array = view(kept);
    const auto strides = kept.strides();
    array.strides.assign(strides.begin(), strides.end());
    return array;
  }

 private:
  void expect_here(const char* argument, const Tensor& tensor) const {
    if (tensor.is_cpu() == cpu_ && tensor.get_device_index() == index_) return;
    bindings::fail(op_, argument, "a tensor on " + device(cpu_, index_),
                   "one on " + device(tensor.is_cpu(), tensor.get_device_index()));
  }

  // The tensor, or a copy where it is a view into bytes.
  static Tensor aligned(const Tensor& tensor, int64_t alignment) {
    const bool good = reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % alignment == 0;
    return good ? tensor : torch::stable::clone(tensor);
  }

  Array view(const Tensor& tensor) {
    kept_.push_back(tensor);
    const auto sizes = tensor.sizes();
    return {tensor.const_data_ptr(),
            dtype_of(tensor),
            {sizes.begin(), sizes.end()},
            torch::headeronly::toString(tensor.scalar_type())};
  }

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
