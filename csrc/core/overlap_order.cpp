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

using Point = std::array<double, 3>;

// An eighth of the sum of the three corners: a centroid but for its scale, that cannot overflow.
template <class T>
Point centroid(const T* vertices, const int32_t* face) {
  Point point;
  for (size_t axis = 0; axis < 3; ++axis) {
    const auto eighth = [&](int corner) {
      return 0.125 * static_cast<double>(vertices[3 * int64_t{face[corner]} + axis]);
    };
    point[axis] = (eighth(0) + eighth(1)) + eighth(2);
  }
  return point;
}

bool finite(const Point& point) {
  return std::isfinite(point[0]) && std::isfinite(point[1]) && std::isfinite(point[2]);
}

struct Box {
  Point low, high;
  void grow(const Point& lower, const Point& upper) {
    for (size_t axis = 0; axis < 3; ++axis) {
      low[axis] = std::min(low[axis], lower[axis]);
      high[axis] = std::max(high[axis], upper[axis]);
    }
  }
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

// side: of the cube whose lowest corner is low; 0: all points are one.
uint64_t code_of(const Point& point, const Point& low, double side) {
  uint64_t code = 0;
  for (size_t axis = 0; axis < 3 && side > 0; ++axis)
    code |= spread(static_cast<uint64_t>((point[axis] - low[axis]) / side * kSteps)) << axis;
  return code;
}

void check_faces(const int32_t* faces, int64_t num_vertices, int64_t begin, int64_t end) {
  for (int64_t i = 3 * begin; i < 3 * end; ++i)
    if (faces[i] < 0 || faces[i] >= num_vertices)
      throw std::invalid_argument("morton_order: faces: expected " +
                                  (num_vertices > 0 ? "vertices 0.." + std::to_string(num_vertices - 1)
                                                    : std::string("no faces without vertices")) +
                                  ", got " + std::to_string(faces[i]) + " in face " + std::to_string(i / 3));
}

struct Place {
  uint64_t code;
  int32_t face;
};

// Stable, a byte of the code at a time, from the lowest.
void sort_by_code(std::vector<Place>& places) {
  std::vector<std::array<size_t, 257>> starts(8);
  for (const Place& place : places)
    for (size_t byte = 0; byte < 8; ++byte) ++starts[byte][(place.code >> 8 * byte & 255) + 1];
  std::vector<Place> sorted(places.size());
  for (size_t byte = 0; byte < 8; ++byte) {
    if (std::find(starts[byte].begin(), starts[byte].end(), places.size()) != starts[byte].end())
      continue;  // all alike
    std::partial_sum(starts[byte].begin(), starts[byte].end(), starts[byte].begin());
    for (const Place& place : places) sorted[starts[byte][place.code >> 8 * byte & 255]++] = place;
    std::swap(places, sorted);
  }
}

template <class T>
void sort_faces(const T* vertices, int64_t num_vertices, const int32_t* faces, int64_t num_faces,
                int32_t* order, const Parallel& parallel) {
  const FloatMode mode;
  const int64_t tasks = (num_faces + kFacesOfTask - 1) / kFacesOfTask;
  const auto each_task = [&](const auto& work) {
    run_tasks(parallel, tasks, [&] {
      return [&](int64_t task) {
        const FloatMode mode;
        work(task, task * kFacesOfTask, std::min(num_faces, (task + 1) * kFacesOfTask));
      };
    });
  };

  std::vector<Box> boxes(static_cast<size_t>(tasks), kNothing);
  each_task([&](int64_t task, int64_t begin, int64_t end) {
    check_faces(faces, num_vertices, begin, end);
    Box& box = boxes[static_cast<size_t>(task)];
    for (int64_t face = begin; face < end; ++face)
      if (const Point point = centroid(vertices, faces + 3 * face); finite(point)) box.grow(point, point);
  });
  Box all = kNothing;
  for (const Box& box : boxes) all.grow(box.low, box.high);
  const double side =
      std::max({all.high[0] - all.low[0], all.high[1] - all.low[1], all.high[2] - all.low[2]});

  std::vector<Place> places(static_cast<size_t>(num_faces));
  each_task([&](int64_t, int64_t begin, int64_t end) {
    for (int64_t face = begin; face < end; ++face) {
      const Point point = centroid(vertices, faces + 3 * face);
      places[static_cast<size_t>(face)] = {finite(point) ? code_of(point, all.low, side) : kLast,
                                           static_cast<int32_t>(face)};
    }
  });
  sort_by_code(places);
  std::transform(places.begin(), places.end(), order, [](const Place& place) { return place.face; });
}

}  // namespace

void morton_order(const void* vertices, Scalar scalar, int64_t num_vertices, const int32_t* faces,
                  int64_t num_faces, int32_t* order, const Parallel& parallel) {
  if (num_faces > INT32_MAX)
    throw std::invalid_argument("morton_order: faces: expected at most 2147483647, got " +
                                std::to_string(num_faces));
  if (num_faces == 0) return;
  if (scalar == Scalar::kFloat64)
    sort_faces(static_cast<const double*>(vertices), num_vertices, faces, num_faces, order, parallel);
  else
    sort_faces(static_cast<const float*>(vertices), num_vertices, faces, num_faces, order, parallel);
}

}  // namespace mirror
