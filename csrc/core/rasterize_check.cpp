#include "core/rasterize_check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "core/tasks.h"

namespace mirror {
namespace raster {
namespace {

constexpr double kLeastNear = 1e-30, kMostNear = 1e30;  // inverse depth is a float32
constexpr int64_t kFacesOfTask = 1 << 16;

std::string text(int64_t number) { return std::to_string(number); }
std::string text(double number) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%g", number);
  return digits;
}

[[noreturn]] void fail(const char* op, const char* argument, const std::string& expected,
                       const std::string& got) {
  throw std::invalid_argument(std::string(op) + ": " + argument + ": expected " + expected + ", got " + got);
}

void expect_float(const char* op, const char* argument, Scalar scalar) {
  if (scalar != Scalar::kFloat32 && scalar != Scalar::kFloat64)
    fail(op, argument, "float32 or float64", "a 16-bit type");
}

// The volume that the rows of R span, of what it would be if they stood at right angles: 1 for a rotation.
double independence(const double* pose) {
  const double *const r = pose, *const s = pose + 4, *const t = pose + 8;
  const double det = r[0] * (s[1] * t[2] - s[2] * t[1]) + r[1] * (s[2] * t[0] - s[0] * t[2]) +
                     r[2] * (s[0] * t[1] - s[1] * t[0]);
  double lengths = 1;
  for (const double* row : {r, s, t})
    lengths *= std::sqrt(row[0] * row[0] + row[1] * row[1] + row[2] * row[2]);
  return std::abs(det) / lengths;
}

}  // namespace

void check_size(const char* op, const RasterSize& size) {
  for (const auto& [name, length] :
       {std::pair<const char*, int64_t>{"height", size.height}, {"width", size.width}})
    if (length < 0 || length > kMaxRasterSide)
      fail(op, name, "a number 0.." + text(kMaxRasterSide), text(length));
  if (size.width > 0 && size.height > INT32_MAX / size.width)
    fail(op, "height", "at most 2147483647 pixels", text(size.height) + " x " + text(size.width));
}

void check_mesh(const char* op, const Mesh& mesh, const Parallel& parallel) {
  expect_float(op, "vertices", mesh.scalar);
  if (mesh.num_faces > INT32_MAX) fail(op, "faces", "at most 2147483647", text(mesh.num_faces));
  const int64_t tasks = (mesh.num_faces + kFacesOfTask - 1) / kFacesOfTask;
  std::vector<int64_t> wrong(static_cast<size_t>(tasks), -1);  // so that the message names the first of all
  const uint64_t count = static_cast<uint64_t>(mesh.num_vertices);
  const auto outside = [&](int64_t i) {
    return static_cast<uint64_t>(static_cast<int64_t>(mesh.faces[i])) >= count;
  };
  run_tasks(parallel, tasks, [&] {
    return [&](int64_t task) {
      const int64_t end = 3 * std::min(mesh.num_faces, (task + 1) * kFacesOfTask);
      bool any = false;
      for (int64_t i = 3 * task * kFacesOfTask; i < end; ++i) any |= outside(i);
      for (int64_t i = 3 * task * kFacesOfTask; any && i < end; ++i)
        if (outside(i)) wrong[static_cast<size_t>(task)] = i, any = false;
    };
  });
  for (const int64_t i : wrong)
    if (i >= 0)
      fail(op, "faces",
           mesh.num_vertices > 0 ? "vertices 0.." + text(mesh.num_vertices - 1) : "no faces without vertices",
           text(int64_t{mesh.faces[i]}) + " in face " + text(i / 3));
}

std::vector<Camera> cameras_of(const char* op, const Cameras& cameras) {
  expect_float(op, "cam_from_world", cameras.poses);
  expect_float(op, "intrinsics", cameras.lenses);
  std::vector<Camera> result;
  result.reserve(static_cast<size_t>(cameras.views));
  for (int64_t view = 0; view < cameras.views; ++view) {
    const std::string in_view = " in view " + text(view);
    double pose[12], lens[4];
    for (int i = 0; i < 12; ++i) {
      pose[i] = number(cameras.cam_from_world, cameras.poses, 12 * view + i);
      if (!std::isfinite(pose[i])) fail(op, "cam_from_world", "finite numbers", text(pose[i]) + in_view);
    }
    for (int i = 0; i < 4; ++i) {
      lens[i] = number(cameras.intrinsics, cameras.lenses, 4 * view + i);
      if (!std::isfinite(lens[i])) fail(op, "intrinsics", "finite numbers", text(lens[i]) + in_view);
      if (i < 2 && !(lens[i] > 0)) fail(op, "intrinsics", "focal lengths > 0", text(lens[i]) + in_view);
    }
    if (!(independence(pose) > 1e-6))
      fail(op, "cam_from_world", "a rotation in columns 0..2", "a singular matrix" + in_view);
    const double near = cameras.near[view];
    if (!(near >= kLeastNear && near <= kMostNear))
      fail(op, "near", "a number 1e-30..1e30", text(near) + in_view);
    result.push_back(camera_of(pose, lens, near));
  }
  return result;
}

}  // namespace raster
}  // namespace mirror
