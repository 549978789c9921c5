#include "bindings/array.h"

#include <cstdlib>
#include <stdexcept>

namespace mirror::bindings {
namespace {

const char* name(DType dtype) {
  constexpr const char* kNames[] = {"uint8",    "int32",   "int64", "float32", "float64",
                                    "bfloat16", "float16", "bool",  "other"};
  return kNames[static_cast<int>(dtype)];
}

// "[N, n, 128]" -> {-1, -1, 128}
std::vector<int64_t> parse(const std::string& pattern) {
  std::vector<int64_t> lengths;
  for (size_t at = 1; at + 1 < pattern.size(); at = pattern.find(' ', at), at += at != std::string::npos) {
    const bool number = pattern[at] >= '0' && pattern[at] <= '9';
    lengths.push_back(number ? std::strtoll(pattern.c_str() + at, nullptr, 10) : -1);
    if (pattern.find(' ', at) == std::string::npos) break;
  }
  return lengths;
}

}  // namespace

std::string describe(const Array& array) {
  std::string text = (array.dtype == DType::kOther ? array.other_type : name(array.dtype)) + " [";
  for (size_t i = 0; i < array.shape.size(); ++i)
    text += (i != 0 ? ", " : "") + std::to_string(array.shape[i]);
  return text + "]";
}

void fail(const char* op, const char* argument, const std::string& expected, const std::string& got) {
  throw std::invalid_argument(std::string(op) + ": " + argument + ": expected " + expected + ", got " + got);
}

void expect(const char* op, const char* argument, const Array& array, std::initializer_list<DType> dtypes,
            const std::string& pattern) {
  bool good = false;
  std::string names;
  for (const DType dtype : dtypes) {
    good = good || array.dtype == dtype;
    names += (names.empty() ? "" : " or ") + std::string(name(dtype));
  }
  const std::vector<int64_t> lengths = parse(pattern);
  good = good && lengths.size() == array.shape.size();
  for (size_t i = 0; good && i < lengths.size(); ++i) good = lengths[i] < 0 || lengths[i] == array.shape[i];
  if (!good) fail(op, argument, names + " " + pattern, describe(array));
}

}  // namespace mirror::bindings
