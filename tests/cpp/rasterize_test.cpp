// rasterize against its plain twin, bit by bit, at every level of instructions and for any number of threads.
#include "mirror/rasterize.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "core/rasterize_check.h"
#include "mirror/overlap.h"
#include "rasterize_plain.h"

namespace {

using namespace mirror;

// A mesh and the views of it; numbers as float64, given as float32 where it says so.
struct Scene {
  std::vector<double> vertices, poses, lenses, near;
  std::vector<float> narrow;
  std::vector<int32_t> faces;
  RasterSize size;
  bool float32 = false;

  void vertex(double x, double y, double z) { vertices.insert(vertices.end(), {x, y, z}); }
  void face(int p, int q, int r) { faces.insert(faces.end(), {p, q, r}); }
  void view(const std::vector<double>& pose, double f, double near_plane) {
    poses.insert(poses.end(), pose.begin(), pose.end());
    lenses.insert(lenses.end(), {f, 1.1 * f, 0.5 * size.width, 0.45 * size.height});
    near.push_back(near_plane);
  }
  int count() const { return static_cast<int>(vertices.size() / 3); }
  Mesh mesh() {
    narrow.assign(vertices.begin(), vertices.end());
    return {float32 ? static_cast<const void*>(narrow.data()) : vertices.data(),
            float32 ? Scalar::kFloat32 : Scalar::kFloat64, count(), faces.data(),
            static_cast<int64_t>(faces.size() / 3)};
  }
  Cameras cameras() const {
    return {poses.data(),     Scalar::kFloat64, lenses.data(),
            Scalar::kFloat64, near.data(),      static_cast<int64_t>(near.size())};
  }
};

// Turned by an angle about each axis, then moved.
std::vector<double> pose(double a, double b, double x, double y, double z) {
  const double ca = std::cos(a), sa = std::sin(a), cb = std::cos(b), sb = std::sin(b);
  return {ca, 0, sa, x, sa * sb, cb, -ca * sb, y, -sa * cb, sb, ca * cb, z};
}

// Points and triangles of every kind: small, large, behind the camera, through it, on top of each other.
Scene clutter(int64_t faces, double size, uint64_t seed, int height, int width) {
  check::Random random(seed);
  Scene scene;
  scene.size = {height, width};
  scene.float32 = seed % 2 == 0;
  for (int64_t k = 0; k < faces; ++k) {
    const double x = 8 * random.uniform() - 4, y = 8 * random.uniform() - 4, z = 10 * random.uniform() - 1;
    const double s = size * std::pow(0.5, static_cast<double>(random.below(8)));
    const int first = scene.count();
    for (int corner = 0; corner < 3; ++corner)
      scene.vertex(x + s * random.normal(), y + s * random.normal(), z + s * random.normal());
    scene.face(first, first + 1, first + 2);
    if (k % 5 == 0) scene.face(first + 1, first + 2, first);  // the same, from another corner
    if (k % 7 == 0) scene.face(first + 2, first + 1, first);  // and from behind
    if (k % 11 == 0 && first > 9) scene.face(first, first - 1, first - 5);
    if (k % 13 == 0) scene.face(first, first + 1, first + 1);
  }
  return scene;
}

// A height field over [-4, 4]^2, z about 5: a closed surface but for its rim.
Scene field(int side, uint64_t seed, int height, int width) {
  check::Random random(seed);
  Scene scene;
  scene.size = {height, width};
  scene.float32 = true;
  for (int i = 0; i < side; ++i)
    for (int j = 0; j < side; ++j)
      scene.vertex(8.0 * j / (side - 1) - 4, 8.0 * i / (side - 1) - 4, 5 + 0.2 * random.normal());
  for (int i = 0; i + 1 < side; ++i)
    for (int j = 0; j + 1 < side; ++j) {
      const int at = i * side + j;
      scene.face(at, at + side, at + 1);
      scene.face(at + 1, at + side, at + side + 1);
    }
  return scene;
}

void views(Scene& scene, double scale) {
  scene.view(pose(0, 0, 0, 0, 0), 0.8 * scene.size.width, 0.1 * scale);
  scene.view(pose(0.4, -0.3, 0.2 * scale, -0.1 * scale, 1.5 * scale), 0.5 * scene.size.width, 1e-3 * scale);
  scene.view(pose(-0.2, 0.5, 0.3 * scale, 0.1 * scale, -4.9 * scale), 2.0 * scene.size.width, 0.5 * scale);
  scene.view(pose(3.0, 0.1, 0, 0, 5 * scale), 0.3 * scene.size.width, 1e-5 * scale);
}

bool same(const void* a, const void* b, size_t bytes) { return bytes == 0 || std::memcmp(a, b, bytes) == 0; }

void check_scene(Scene& scene, const char* name) {
  const Mesh mesh = scene.mesh();
  const Cameras cameras = scene.cameras();
  const int64_t pixels = cameras.views * scene.size.height * scene.size.width;
  const int64_t words = words_of(mesh.num_faces);
  for (const bool cull : {false, true}) {
    const plain::Maps expected = plain::rasterize(mesh, cameras, scene.size, cull);
    std::vector<uint64_t> sets(static_cast<size_t>(cameras.views * words));
    std::vector<int64_t> counts(static_cast<size_t>(cameras.views));
    const int64_t min_pixels = cull ? 3 : 1;
    visible_triangles({expected.ids.data(), cameras.views, scene.size.height, scene.size.width},
                      mesh.num_faces, min_pixels, sets.data(), counts.data(), serial());
    for (const Isa isa : check::isa_levels())
      for (const int count : {1, 4}) {
        if (isa == Isa::kAmx) continue;  // the same as AVX-512
        check::use_isa(isa);
        std::vector<int32_t> ids(static_cast<size_t>(pixels), 99);
        std::vector<float> depth(ids.size(), 99), weights(2 * ids.size(), 99);
        rasterize(mesh, cameras, scene.size, cull, ids.data(), depth.data(), weights.data(), threads(count));
        int64_t wrong = 0;
        for (size_t i = 0; i < ids.size(); ++i) wrong += ids[i] != expected.ids[i];
        CHECK_SAY(wrong == 0, "%s, cull %d, %s, %d threads: %lld ids", name, cull, isa_name(isa), count,
                  static_cast<long long>(wrong));
        CHECK_SAY(same(depth.data(), expected.depth.data(), 4 * depth.size()), "%s, %s: depth", name,
                  isa_name(isa));
        CHECK_SAY(same(weights.data(), expected.barycentrics.data(), 4 * weights.size()), "%s, %s: weights",
                  name, isa_name(isa));
        std::vector<uint64_t> found(sets.size(), 99);
        std::vector<int64_t> found_counts(counts.size(), 99);
        rasterize_visible(mesh, cameras, scene.size, cull, min_pixels, found.data(), found_counts.data(),
                          threads(count));
        CHECK_SAY(found == sets && found_counts == counts, "%s, %s: visible", name, isa_name(isa));
      }
  }
}

void test_clutter() {
  const int64_t faces = check::kSanitizer ? 150 : 600;
  for (const double size : {0.03, 0.3, 3.0, 100.0})
    for (uint64_t seed = 0; seed < 2; ++seed) {
      Scene scene = clutter(faces, size, seed + 1, 100, 290);
      views(scene, 1);
      check_scene(scene, "clutter");
    }
  Scene tall = clutter(faces, 0.5, 7, 530, 5);
  views(tall, 1);
  check_scene(tall, "tall");
}

void test_fields() {
  for (const int side : {2, 30, check::kSanitizer ? 50 : 130}) {
    Scene scene = field(side, 3, 270, 260);
    views(scene, 1);
    check_scene(scene, "field");
  }
}

// Coordinates beyond every range, and faces that own nothing.
void test_extremes() {
  for (const double scale : {1e-25, 1e-3, 1e12, 1e25}) {
    Scene scene = clutter(200, 1.0, 5, 60, 70);
    for (double& x : scene.vertices) x *= scale;
    views(scene, scale);
    check_scene(scene, "scaled");
  }
  Scene scene = clutter(200, 1.0, 9, 60, 70);
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  const int first = scene.count();
  for (const double bad : {nan, inf, -inf, 1e300, -1e300, 1e155, 3e38})
    for (int axis = 0; axis < 3; ++axis)
      scene.vertex(axis == 0 ? bad : 0.1, axis == 1 ? bad : 0.2, axis == 2 ? bad : 3);
  for (int k = first; k < scene.count(); ++k) scene.face(k, 0, 1), scene.face(2, k, k - 1);
  views(scene, 1);
  check_scene(scene, "not finite");
}

// Every pixel within a convex outline that is cut into triangles has exactly one of them, whatever the cut.
void test_owners() {
  check::Random random(11);
  for (int round = 0; round < 20; ++round) {
    Scene scene;
    scene.size = {90, 120};
    std::vector<int> inner;
    // A fan of a polygon around a point, split again and again at points inside faces: all coplanar, z = 2.
    for (const auto& [x, y] : {std::pair<double, double>{-1.3, -1}, {1.2, -1.1}, {1.4, 0.9}, {-1.2, 1.05}})
      scene.vertex(x + 0.1 * random.uniform(), y + 0.1 * random.uniform(), 2);
    std::vector<std::vector<int>> faces = {{0, 1, 2}, {0, 2, 3}};
    for (int split = 0; split < 60; ++split) {
      const size_t k = static_cast<size_t>(random.below(static_cast<int64_t>(faces.size())));
      const std::vector<int> f = faces[k];
      const double a = random.uniform(), b = random.uniform() * (1 - a), c = 1 - a - b;
      const auto mix = [&](int axis) {
        return a * scene.vertices[3 * f[0] + axis] + b * scene.vertices[3 * f[1] + axis] +
               c * scene.vertices[3 * f[2] + axis];
      };
      scene.vertex(mix(0), mix(1), 2);
      const int m = scene.count() - 1;
      faces[k] = {f[0], f[1], m};
      faces.push_back({f[1], f[2], m});
      faces.push_back({f[2], f[0], m});
    }
    scene.view(pose(0, 0, 0, 0, 0), 70, 0.1);
    const int64_t pixels = scene.size.height * scene.size.width;
    const auto owners = [&](const std::vector<std::vector<int>>& list) {
      std::vector<int> owned(static_cast<size_t>(pixels), 0);
      for (const auto& f : list) {
        scene.faces = {f[0], f[1], f[2]};
        std::vector<int32_t> ids(static_cast<size_t>(pixels));
        rasterize(scene.mesh(), scene.cameras(), scene.size, false, ids.data(), nullptr, nullptr, serial());
        for (size_t i = 0; i < ids.size(); ++i) owned[i] += ids[i] == 0;
      }
      return owned;
    };
    CHECK(owners(faces) == owners({{0, 1, 2}, {0, 2, 3}}));
  }
}

void test_empty() {
  Scene scene = clutter(3, 1.0, 1, 4, 4);
  rasterize(scene.mesh(), scene.cameras(), {4, 4}, false, nullptr, nullptr, nullptr, serial());
  views(scene, 1);
  rasterize(scene.mesh(), scene.cameras(), {0, 4}, false, nullptr, nullptr, nullptr, serial());
  std::vector<int32_t> ids(64, 5);
  rasterize({}, scene.cameras(), {4, 4}, false, ids.data(), nullptr, nullptr, threads(2));
  CHECK(ids == std::vector<int32_t>(64, -1));
}

void test_refusals() {
  Scene scene = clutter(3, 1.0, 1, 4, 4);
  views(scene, 1);
  std::vector<int32_t> ids(64);
  const auto run = [&](const Mesh& mesh, const Cameras& cameras, RasterSize size) {
    rasterize(mesh, cameras, size, false, ids.data(), nullptr, nullptr, serial());
  };
  for (const int32_t index : {-1, scene.count()}) {
    Scene wrong = scene;
    wrong.faces[4] = index;
    CHECK_THROWS(run(wrong.mesh(), scene.cameras(), scene.size), std::invalid_argument);
  }
  for (const double bad : {std::nan(""), static_cast<double>(INFINITY)})
    for (const int place : {0, 3, 11}) {
      Scene wrong = scene;
      wrong.poses[12 + place] = bad;
      CHECK_THROWS(run(scene.mesh(), wrong.cameras(), scene.size), std::invalid_argument);
    }
  Scene singular = scene;
  for (int k = 0; k < 3; ++k) singular.poses[k] = singular.poses[4 + k];
  CHECK_THROWS(run(scene.mesh(), singular.cameras(), scene.size), std::invalid_argument);
  for (const double bad : {0.0, -1.0, std::nan("")}) {
    Scene wrong = scene;
    wrong.lenses[1] = bad;
    CHECK_THROWS(run(scene.mesh(), wrong.cameras(), scene.size), std::invalid_argument);
    wrong = scene;
    wrong.near[2] = bad;
    CHECK_THROWS(run(scene.mesh(), wrong.cameras(), scene.size), std::invalid_argument);
  }
  for (const RasterSize bad :
       {RasterSize{-1, 4}, RasterSize{4, kMaxRasterSide + 1}, RasterSize{65536, 65536}})
    CHECK_THROWS(run(scene.mesh(), scene.cameras(), bad), std::invalid_argument);
}

}  // namespace

int main() {
  test_clutter();
  test_fields();
  test_extremes();
  test_owners();
  test_empty();
  test_refusals();
  return check::result();
}
