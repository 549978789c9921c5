#include "core/pr_mac_check.h"

#include <stdexcept>
#include <string>

namespace mirror {
namespace prmac {
namespace {

[[noreturn]] void fail(const char* op, const std::string& message) {
  throw std::invalid_argument(std::string(op) + ": " + message);
}

const char* scalar_name(Scalar scalar) {
  switch (scalar) {
    case Scalar::kFloat32:
      return "float32";
    case Scalar::kFloat64:
      return "float64";
    case Scalar::kBFloat16:
      return "bfloat16";
    case Scalar::kFloat16:
      return "float16";
  }
  return "unknown";
}

}  // namespace

void check_regions(const char* op, const char* argument, const Regions& regions) {
  const std::string name(argument);
  if (regions.images < 0 || regions.capacity < 0 || regions.channels < 0)
    fail(op, name + ": expected a shape [images, regions, channels] without negative numbers, got [" +
                 std::to_string(regions.images) + ", " + std::to_string(regions.capacity) + ", " +
                 std::to_string(regions.channels) + "]");
  if (regions.capacity > INT32_MAX)
    fail(op, name + ": expected at most 2147483647 regions, got " + std::to_string(regions.capacity));
  if (!regions.data && regions.images > 0 && regions.capacity > 0 && regions.channels > 0)
    fail(op, name + ": expected data, got a null pointer");
  if (!regions.sizes) return;
  for (int64_t i = 0; i < regions.images; ++i)
    if (regions.sizes[i] < 0 || regions.sizes[i] > regions.capacity)
      fail(op, name + "_sizes: expected values in 0.." + std::to_string(regions.capacity) + ", got " +
                   std::to_string(regions.sizes[i]) + " at " + std::to_string(i));
}

void check_pair(const char* op, const Regions& query, const Regions& target) {
  check_regions(op, "query", query);
  check_regions(op, "target", target);
  if (query.channels != target.channels)
    fail(op, "target: expected " + std::to_string(query.channels) + " channels as query has, got " +
                 std::to_string(target.channels));
  if (query.scalar != target.scalar)
    fail(op, std::string("target: expected ") + scalar_name(query.scalar) + " as query has, got " +
                 scalar_name(target.scalar));
}

void check_reduction(const char* op, Reduction reduction) {
  if (static_cast<int>(reduction) < 0 ||
      static_cast<int>(reduction) > static_cast<int>(Reduction::kHausdorff))
    fail(op, "reduction: expected 0..5, got " + std::to_string(static_cast<int>(reduction)));
}

void check_precision(const char* op, const Regions& query, Precision precision) {
  if (precision == Precision::kExact) return;
  if (precision != Precision::kBf16)
    fail(op, "precision: expected exact or bf16, got " + std::to_string(static_cast<int>(precision)));
  if (query.scalar == Scalar::kFloat64) fail(op, "precision: expected exact for float64 vectors, got bf16");
}

}  // namespace prmac
}  // namespace mirror
