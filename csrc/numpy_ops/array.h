// The only file that knows nanobind's arrays: NumPy arrays in and out, and the lock that is released in between.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/array.h"

namespace mirror::numpy_ops {

namespace nb = nanobind;
using bindings::Array;
using bindings::DType;
using Input = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;  // mirror_ext/numpy.py makes them so
using OptionalInput = std::optional<Input>;
using StridedInput = nb::ndarray<nb::ro, nb::device::cpu>;  // as it lies in memory

inline DType dtype_of(nb::dlpack::dtype dtype) {
  if (dtype == nb::dtype<uint8_t>()) return DType::kUInt8;
  if (dtype == nb::dtype<int32_t>()) return DType::kInt32;
  if (dtype == nb::dtype<int64_t>()) return DType::kInt64;
  if (dtype == nb::dtype<float>()) return DType::kFloat32;
  if (dtype == nb::dtype<double>()) return DType::kFloat64;
  if (dtype == nb::dtype<bool>()) return DType::kBool;
  if (dtype.code == static_cast<uint8_t>(nb::dlpack::dtype_code::Float) && dtype.bits == 16)
    return DType::kFloat16;
  return DType::kOther;
}

inline std::string name_of(nb::dlpack::dtype dtype) {
  constexpr const char* kKinds[] = {"int", "uint", "float", "handle", "bfloat", "complex", "bool"};
  return (dtype.code < 7 ? kKinds[dtype.code] : "type") + std::to_string(dtype.bits);
}

template <class... Constraints>
Array view(const nb::ndarray<Constraints...>& input) {
  Array array{input.data(), dtype_of(input.dtype()), {}, name_of(input.dtype())};
  for (size_t i = 0; i < input.ndim(); ++i) array.shape.push_back(static_cast<int64_t>(input.shape(i)));
  return array;
}

inline std::optional<Array> view(const OptionalInput& input) {
  if (!input.has_value()) return std::nullopt;
  return view(*input);
}

inline Array strided_view(const StridedInput& input) {
  Array array = view(input);
  for (size_t i = 0; i < input.ndim(); ++i) array.strides.push_back(input.stride(i));
  return array;
}

// An array of our own, uninitialised, until Python owns it.
template <class T>
class Output {
 public:
  explicit Output(std::vector<int64_t> shape) : shape_(shape.begin(), shape.end()) {
    size_t count = 1;
    for (const size_t length : shape_) count *= length;
    memory_.reset(new T[count]);
  }
  T* data() { return memory_.get(); }
  nb::object release() {
    T* memory = memory_.release();
    nb::capsule owner(memory, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(memory, shape_.size(), shape_.data(), owner));
  }

 private:
  std::vector<size_t> shape_;
  std::unique_ptr<T[]> memory_;
};

// Runs `work` without Python's lock.
template <class Work>
void unlocked(const Work& work) {
  nb::gil_scoped_release release;
  work();
}

}  // namespace mirror::numpy_ops
