// One argument of an op as both bindings (torch and NumPy) see it, and the sentence that says what is wrong with it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace mirror::bindings {

enum class DType { kUInt8, kInt32, kInt64, kFloat32, kFloat64, kBFloat16, kFloat16, kBool, kOther };

// Contiguous (but where `strides` are given), aligned to its element size, on any device.
struct Array {
  const void* data = nullptr;
  DType dtype = DType::kOther;
  std::vector<int64_t> shape;
  std::string other_type = {};        // its name where dtype is kOther
  std::vector<int64_t> strides = {};  // in elements; empty: contiguous

  int64_t size(int dimension) const { return shape[dimension]; }
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

// "float32 [3, 128]"
std::string describe(const Array& array);

// Throws std::invalid_argument: "<op>: <argument>: expected <expected>, got <got>".
[[noreturn]] void fail(const char* op, const char* argument, const std::string& expected,
                       const std::string& got);

// Fails unless the array has one of `dtypes` and the shape of `pattern`, for example "[N, n, 128]": a name stands for
// any length, a number for itself.
void expect(const char* op, const char* argument, const Array& array, std::initializer_list<DType> dtypes,
            const std::string& pattern);

}  // namespace mirror::bindings
