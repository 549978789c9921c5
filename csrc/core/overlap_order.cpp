// Faces along a Morton curve: the bits of the three coordinates of a centroid, interleaved, are its place on the curve.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/float_mode.h"
#include "core/tasks.h"
#include "mirror/overlap.h"

namespace mirror {
namespace {

constexpr int64_t kFacesOfTask = 1 << 14;
constexpr double kSteps = 2097151;  // 2^21 - 1: three coordinates fill 63 bits
constexpr uint64_t kLast = ~uint64_t{0};

// An eighth of the sum of the three corners: a centroid but for its scale, that cannot overflow.
struct Centroids {
  const void* vertices;
  Scalar scalar;
  const int32_t* faces;

  double vertex(int64_t i) const {
    return scalar == Scalar::kFloat64 ? static_cast<const double*>(vertices)[i]
                                      : static_cast<double>(static_cast<const float*>(vertices)[i]);
  }
  double at(int64_t face, int axis) const {
    const int32_t* const f = faces + 3 * face;
    const auto eighth = [&](int corner) { return 0.125 * vertex(3 * int64_t{f[corner]} + axis); };
    return (eighth(0) + eighth(1)) + eighth(2);
  }
  bool finite(int64_t face) const {
    return std::isfinite(at(face, 0)) && std::isfinite(at(face, 1)) && std::isfinite(at(face, 2));
  }
};

struct Box {
  std::array<double, 3> low, high;
};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Box kNothing = {{kInfinity, kInfinity, kInfinity}, {-kInfinity, -kInfinity, -kInfinity}};

// Two zeros after each of the lowest 21 bits, for the bits of the other two coordinates.
uint64_t spread(uint64_t x) {
  x = (x | x << 32) & 0x001f00000000ffffu;
  x = (x | x << 16) & 0x001f0000ff0000ffu;
  x = (x | x << 8) & 0x100f00f00f00f00fu;
  x = (x | x << 4) & 0x10c30c30c30c30c3u;
  return (x | x << 2) & 0x1249249249249249u;
}

void check_faces(const int32_t* faces, int64_t num_vertices, int64_t begin, int64_t end) {
  for (int64_t i = 3 * begin; i < 3 * end; ++i)
    if (faces[i] < 0 || faces[i] >= num_vertices)
      throw std::invalid_argument("morton_order: faces: expected " +
                                  (num_vertices > 0 ? "vertices 0.." + std::to_string(num_vertices - 1)
                                                    : std::string("no faces without vertices")) +
                                  ", got " + std::to_string(faces[i]) + " in face " + std::to_string(i / 3));
}

// Stable, eleven bits at a time, from the lowest.
void sort_by_code(std::vector<uint64_t> codes, int32_t* order) {
  const size_t count = codes.size();
  std::vector<uint64_t> other_codes(count);
  std::vector<int32_t> from(order, order + count), to(count);
  for (int shift = 0; shift < 64; shift += 11) {
    std::array<size_t, 2049> starts = {};
    for (const uint64_t code : codes) ++starts[(code >> shift & 2047) + 1];
    if (std::find(starts.begin(), starts.end(), count) != starts.end()) continue;  // all alike
    std::partial_sum(starts.begin(), starts.end(), starts.begin());
    for (size_t i = 0; i < count; ++i) {
      const size_t place = starts[codes[i] >> shift & 2047]++;
      other_codes[place] = codes[i];
      to[place] = from[i];
    }
    std::swap(codes, other_codes);
    std::swap(from, to);
  }
  std::copy(from.begin(), from.end(), order);
}

}  // namespace

void morton_order(const void* vertices, Scalar scalar, int64_t num_vertices, const int32_t* faces,
                  int64_t num_faces, int32_t* order, const Parallel& parallel) {
  if (num_faces > INT32_MAX)
    throw std::invalid_argument("morton_order: faces: expected at most 2147483647, got " +
                                std::to_string(num_faces));
  if (num_faces == 0) return;
  const FloatMode mode;
  const Centroids centroids{vertices, scalar, faces};
  const int64_t tasks = (num_faces + kFacesOfTask - 1) / kFacesOfTask;
  const auto each_face = [&](const auto& work) {
    run_tasks(parallel, tasks, [&] {
      return [&](int64_t task) {
        const FloatMode mode;
        work(task, task * kFacesOfTask, std::min(num_faces, (task + 1) * kFacesOfTask));
      };
    });
  };

  std::vector<Box> boxes(static_cast<size_t>(tasks), kNothing);
  each_face([&](int64_t task, int64_t begin, int64_t end) {
    check_faces(faces, num_vertices, begin, end);
    Box& box = boxes[static_cast<size_t>(task)];
    for (int64_t face = begin; face < end; ++face) {
      if (!centroids.finite(face)) continue;
      for (int axis = 0; axis < 3; ++axis) {
        const double x = centroids.at(face, axis);
        box.low[axis] = std::min(box.low[axis], x);
        box.high[axis] = std::max(box.high[axis], x);
      }
    }
  });
  Box all = kNothing;
  for (const Box& box : boxes)
    for (int axis = 0; axis < 3; ++axis) {
      all.low[axis] = std::min(all.low[axis], box.low[axis]);
      all.high[axis] = std::max(all.high[axis], box.high[axis]);
    }
  double side = 0;
  for (int axis = 0; axis < 3; ++axis) side = std::max(side, all.high[axis] - all.low[axis]);

  std::vector<uint64_t> codes(static_cast<size_t>(num_faces), kLast);
  each_face([&](int64_t, int64_t begin, int64_t end) {
    for (int64_t face = begin; face < end; ++face) {
      if (!centroids.finite(face)) continue;
      uint64_t code = 0;
      for (int axis = 0; axis < 3 && side > 0; ++axis) {
        const double share = (centroids.at(face, axis) - all.low[axis]) / side;
        code |= spread(static_cast<uint64_t>(share * kSteps)) << axis;
      }
      codes[static_cast<size_t>(face)] = side > 0 ? code : 0;
    }
  });
  std::iota(order, order + num_faces, 0);
  sort_by_code(std::move(codes), order);
}

}  // namespace mirror
