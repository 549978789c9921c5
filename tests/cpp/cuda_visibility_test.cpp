// Rasterising and overlap of mirror/cuda.h on the CPU, through cuda_emulator.h: the bits of the CPU ops.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "core/overlap.cu"
#include "core/rasterize.cu"

namespace {

using namespace mirror;

// Scratch memory of exactly the size that is asked for.
struct Scratch {
  std::vector<unsigned char> bytes;
  cuda::Workspace workspace;
  explicit Scratch(size_t size) : bytes(size + 256, 0x5a) {
    const uintptr_t at = (reinterpret_cast<uintptr_t>(bytes.data()) + 255) / 256 * 256;
    workspace = {reinterpret_cast<void*>(at), size};
  }
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

size_t at(int64_t i) { return static_cast<size_t>(i); }

// ---- overlap ---------------------------------------------------------------------------------------------------------

std::vector<int32_t> random_ids(int64_t count, int64_t faces, check::Random& random) {
  std::vector<int32_t> ids;
  while (static_cast<int64_t>(ids.size()) < count) {
    const int32_t id = static_cast<int32_t>(random.below(faces + 1)) - 1;
    for (int64_t run = 1 + random.below(5); run > 0; --run) ids.push_back(id);
  }
  ids.resize(at(count));
  return ids;
}

// Sets with empty stretches, views with nothing, bits below `faces` only.
std::vector<uint64_t> random_sets(int64_t views, int64_t faces, check::Random& random) {
  std::vector<uint64_t> bits(at(views * words_of(faces)));
  for (int64_t view = 0; view < views; ++view) {
    const int64_t density = 1 + random.below(4);
    for (int64_t face = random.below(faces + 1); face < faces; face += 1 + random.below(density * density))
      if (face / 600 % density == 0)
        bits[at(view * words_of(faces) + face / 64)] |= uint64_t{1} << (face % 64);
  }
  return bits;
}

void test_visible(int64_t views, int64_t height, int64_t width, int64_t faces, check::Random& random) {
  const std::vector<int32_t> ids = random_ids(views * height * width, faces, random);
  const IdMaps maps{ids.data(), views, height, width};
  for (const int64_t min_pixels : {1, 2, 5, 300}) {
    std::vector<uint64_t> expected(at(views * words_of(faces)), 7), got(expected);
    std::vector<int64_t> counts(at(views), -1), got_counts(counts);
    visible_triangles(maps, faces, min_pixels, expected.data(), counts.data(), serial());
    Scratch scratch(cuda::visible_triangles_workspace(maps, faces, min_pixels));
    cuda::visible_triangles(maps, faces, min_pixels, got.data(), got_counts.data(), scratch.workspace,
                            nullptr);
    CHECK_SAY(same_bits(got, expected), "visible: other bits, min_pixels %d", static_cast<int>(min_pixels));
    CHECK_SAY(got_counts == counts, "visible: other counts, min_pixels %d", static_cast<int>(min_pixels));
  }
}

template <class T>
void test_weights(const Bitsets& sets, int64_t faces, Scalar scalar, check::Random& random) {
  std::vector<T> weights;
  for (int64_t face = 0; face < faces; ++face)
    weights.push_back(static_cast<T>(random.below(9) == 0 ? -0.0 : random.normal()));
  const size_t pairs = at(sets.views * sets.views);
  std::vector<double> expected(pairs, -1), got(pairs, -2);
  const TriangleWeights triangles{weights.data(), faces, scalar};
  shared_weights(sets, triangles, expected.data(), serial());
  cuda::shared_weights(sets, triangles, got.data(), nullptr);
  CHECK_SAY(same_bits(got, expected), "weights of %d views and %d triangles: other bits",
            static_cast<int>(sets.views), static_cast<int>(faces));
}

void test_shared(int64_t views, int64_t faces, check::Random& random) {
  const std::vector<uint64_t> bits = random_sets(views, faces, random);
  const Bitsets sets{bits.data(), views, words_of(faces)};
  std::vector<int32_t> expected(at(views * views), -1), got(at(views * views), -2);
  shared_triangles(sets, expected.data(), serial());
  cuda::shared_triangles(sets, got.data(), nullptr);
  CHECK_SAY(got == expected, "shared of %d views and %d triangles: other counts", static_cast<int>(views),
            static_cast<int>(faces));
  test_weights<float>(sets, faces, Scalar::kFloat32, random);
  test_weights<double>(sets, faces, Scalar::kFloat64, random);
}

void test_masks(int64_t height, int64_t width, const Grid& grid, int64_t faces, check::Random& random) {
  const int64_t views = 3, others = 5, count = 4;
  const std::vector<int32_t> ids = random_ids(views * height * width, faces, random);
  const std::vector<uint64_t> bits = random_sets(others, faces, random);
  const IdMaps maps{ids.data(), views, height, width};
  for (const bool directed : {false, true}) {
    std::vector<int64_t> pairs;
    for (int64_t i = 0; i < count; ++i)
      pairs.insert(pairs.end(), {random.below(views), random.below(directed ? others : views)});
    const Bitsets sets{bits.data(), directed ? others : views, words_of(faces)};
    const ViewPairs list{pairs.data(), count, directed};
    std::vector<float> expected(at(count * (directed ? 1 : 2) * grid.rows * grid.columns), -1), got(expected);
    overlap_masks(maps, sets, list, grid, expected.data(), serial());
    cuda::overlap_masks(maps, sets, list, grid, got.data(), nullptr);
    CHECK_SAY(same_bits(got, expected), "masks: other bits");
  }
}

void test_overlap() {
  check::Random random(5);
  test_visible(3, 17, 31, 1000, random);
  test_visible(2, 40, 50, 64, random);
  test_visible(1, 5, 7, 1, random);
  test_visible(0, 5, 7, 9, random);
  test_visible(2, 0, 7, 9, random);
  const int64_t shared[][2] = {{0, 500}, {1, 1}, {16, 500}, {17, 5000}, {128, 500}, {150, 1}, {150, 5000}};
  for (const auto& [views, faces] : shared) test_shared(views, faces, random);
  const Grid grids[] = {{1, 1}, {7, 7}, {56, 56}, {3, 50}};
  for (const Grid& grid : grids) {
    test_masks(30, 41, grid, 900, random);
    test_masks(5, 3, grid, 70, random);
  }
  test_masks(60, 200, grids[1], 3000, random);
}

// ---- rasterize -------------------------------------------------------------------------------------------------------

struct Scene {
  std::vector<double> vertices;
  std::vector<float> narrow;  // the same in float32
  std::vector<int32_t> faces;
  std::vector<double> poses, lenses, near;

  Mesh mesh(bool wide) const {
    const void* const data = wide ? static_cast<const void*>(vertices.data()) : narrow.data();
    return {data, wide ? Scalar::kFloat64 : Scalar::kFloat32, static_cast<int64_t>(vertices.size() / 3),
            faces.data(), static_cast<int64_t>(faces.size() / 3)};
  }
  Cameras cameras() const {
    return {poses.data(),     Scalar::kFloat64, lenses.data(),
            Scalar::kFloat64, near.data(),      static_cast<int64_t>(near.size())};
  }
  void add_vertex(double x, double y, double z) {
    vertices.insert(vertices.end(), {x, y, z});
    narrow.insert(narrow.end(), {static_cast<float>(x), static_cast<float>(y), static_cast<float>(z)});
  }
  void add_face(int64_t a, int64_t b, int64_t c) {
    faces.insert(faces.end(), {static_cast<int32_t>(a), static_cast<int32_t>(b), static_cast<int32_t>(c)});
  }
  // At (x, y, z), turned about y by the angle of (c, s), which need not have length 1.
  void add_camera(double x, double y, double z, double c, double s, double focal, double closest) {
    const double length = std::sqrt(c * c + s * s);
    c /= length, s /= length;
    poses.insert(poses.end(), {c, 0, -s, -(c * x - s * z), 0, 1, 0, -y, s, 0, c, -(s * x + c * z)});
    lenses.insert(lenses.end(), {focal, focal * 0.9, 21.3, 14.8});
    near.push_back(closest);
  }
};

// Faces of every size, some before each other's corners, some twice, some behind the cameras or across their near planes;
// some without area, some with a corner that is not finite.
Scene cloud(int64_t faces, double scale, check::Random& random) {
  Scene scene;
  for (int64_t face = 0; face < faces; ++face) {
    const double x = 4 * random.normal(), y = 3 * random.normal(), z = 5 + 4 * random.normal();
    const double reach = scale * std::exp2(static_cast<double>(random.below(9)) - 5);
    for (int corner = 0; corner < 3; ++corner)
      scene.add_vertex(x + reach * random.normal(), y + reach * random.normal(), z + reach * random.normal());
    const int64_t first = 3 * face;
    scene.add_face(first, first + 1, first + 2);
    if (face % 7 == 0) scene.add_face(first + 2, first + 1, first);
    if (face % 5 == 0) scene.add_face(first, random.below(first + 3), first + 1);
    if (face % 11 == 0) scene.add_face(first, first, first + 1);
  }
  const double odd[] = {NAN, INFINITY, -INFINITY, 1e200, 1e30};
  for (const double x : odd) {
    scene.add_vertex(x, 1, 9);
    scene.add_face(0, 1, static_cast<int64_t>(scene.vertices.size() / 3) - 1);
  }
  scene.add_camera(0, 0, -2, 1, 0, 30, 1e-3);
  scene.add_camera(1, 0.5, 4, 1, -0.4, 25, 0.5);
  scene.add_camera(-1, 0, 6, -1, 0.2, 4000, 1e-30);
  return scene;
}

// A surface without holes that fills the picture: small faces, and two that reach under the cameras.
Scene terrain(int64_t cells, double far, check::Random& random) {
  Scene scene;
  for (int64_t j = 0; j <= cells; ++j)
    for (int64_t i = 0; i <= cells; ++i)
      scene.add_vertex(far + 12.0 * i / cells - 6, 8.0 * j / cells - 4, 6 + 0.4 * random.uniform());
  for (int64_t j = 0; j < cells; ++j)
    for (int64_t i = 0; i < cells; ++i) {
      const int64_t at = j * (cells + 1) + i;
      scene.add_face(at, at + 1, at + cells + 1);
      scene.add_face(at + 1, at + cells + 2, at + cells + 1);
    }
  const int64_t count = static_cast<int64_t>(scene.vertices.size() / 3);
  for (const double side : {-1e4, 1e4})
    for (const double z : {-1e4, 1e4}) scene.add_vertex(far + side, 1.7, z);
  scene.add_face(count, count + 1, count + 2);
  scene.add_face(count + 1, count + 3, count + 2);
  for (int64_t view = 0; view < 4; ++view)
    scene.add_camera(far + 0.3 * static_cast<double>(view), 0, -0.1 * static_cast<double>(view), 1,
                     0.05 * static_cast<double>(view), 28, 1e-3);
  return scene;
}

void test_sets_of_views(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull) {
  for (const int64_t min_pixels : {1, 3}) {
    std::vector<uint64_t> expected(at(cameras.views * words_of(mesh.num_faces)), 7), got(expected);
    std::vector<int64_t> counts(at(cameras.views), -1), got_counts(counts);
    rasterize_visible(mesh, cameras, size, cull, min_pixels, expected.data(), counts.data(), serial());
    Scratch scratch(cuda::rasterize_visible_workspace(mesh, cameras.views, size, min_pixels));
    cuda::rasterize_visible(mesh, cameras, size, cull, min_pixels, got.data(), got_counts.data(),
                            scratch.workspace, nullptr);
    CHECK_SAY(same_bits(got, expected) && got_counts == counts, "rasterize_visible: other sets");
  }
}

void test_raster(const Scene& scene, const RasterSize& size, const char* what) {
  const Cameras cameras = scene.cameras();
  const size_t pixels = at(cameras.views * size.height * size.width);
  for (const bool wide : {false, true})
    for (const bool cull : {false, true}) {
      const Mesh mesh = scene.mesh(wide);
      std::vector<int32_t> expected(pixels, -7), got(pixels, -8);
      std::vector<float> depth(pixels), got_depth(pixels), weights(2 * pixels), got_weights(2 * pixels);
      rasterize(mesh, cameras, size, cull, expected.data(), depth.data(), weights.data(), serial());
      Scratch scratch(cuda::rasterize_workspace(mesh, cameras.views, size));
      cuda::rasterize(mesh, cameras, size, cull, got.data(), got_depth.data(), got_weights.data(),
                      scratch.workspace, nullptr);
      CHECK_SAY(got == expected, "%s: other ids", what);
      CHECK_SAY(same_bits(got_depth, depth), "%s: other depths", what);
      CHECK_SAY(same_bits(got_weights, weights), "%s: other barycentrics", what);
      if (wide == cull) test_sets_of_views(mesh, cameras, size, cull);
    }
}

// Values on the device are not checked: faces without vertices own nothing, and nothing outside is read.
void test_indices_outside(check::Random& random) {
  Scene scene = terrain(3, 0, random), other = scene;
  for (const int32_t index : {-1, 1000000, std::numeric_limits<int32_t>::min()}) other.add_face(0, 1, index);
  other.poses[12] = NAN;  // of the second camera
  const RasterSize size{20, 30};
  const size_t pixels = at(4 * size.height * size.width);
  std::vector<int32_t> expected(pixels), got(pixels);
  const auto draw = [&](const Scene& from, std::vector<int32_t>& ids) {
    Scratch scratch(cuda::rasterize_workspace(from.mesh(true), 4, size));
    cuda::rasterize(from.mesh(true), from.cameras(), size, false, ids.data(), nullptr, nullptr,
                    scratch.workspace, nullptr);
  };
  draw(scene, expected);
  draw(other, got);
  std::fill_n(expected.begin() + size.height * size.width, size.height * size.width, -1);
  CHECK(got == expected);
}

// More vertices than the scratch memory holds for two views at a time.
void test_views_in_turn(check::Random& random) {
  Scene scene = terrain(4, 0, random);
  scene.vertices.resize(3 * 2200000, 1);
  scene.narrow.resize(scene.vertices.size(), 1);
  scene.near.resize(2);
  const Mesh mesh = scene.mesh(false);
  const Cameras cameras = scene.cameras();
  const RasterSize size{16, 24};
  std::vector<int32_t> expected(at(2 * 16 * 24)), got(expected);
  std::vector<float> depth(expected.size());
  rasterize(mesh, cameras, size, false, expected.data(), depth.data(), nullptr, serial());
  Scratch scratch(cuda::rasterize_workspace(mesh, 2, size));
  CHECK(scratch.workspace.bytes < 2 * 16 * at(mesh.num_vertices));
  cuda::rasterize(mesh, cameras, size, false, got.data(), nullptr, nullptr, scratch.workspace, nullptr);
  CHECK(got == expected);
}

void test_rasterize() {
  check::Random random(6);
  const RasterSize size{30, 41};
  test_raster(cloud(150, 1, random), size, "cloud");
  test_raster(cloud(30, 9, random), {140, 190}, "large faces");
  test_raster(terrain(24, 0, random), size, "terrain");
  test_raster(terrain(5, 4e6, random), size, "terrain far away");
  test_raster(terrain(2, 0, random), {1, 1}, "a pixel");
  test_raster(terrain(2, 0, random), {0, 9}, "no pixels");
  Scene nothing = terrain(2, 0, random);
  nothing.faces.clear();
  test_raster(nothing, size, "no faces");
  nothing.vertices.clear(), nothing.narrow.clear(), nothing.near.clear();
  test_raster(nothing, size, "no views");
  test_indices_outside(random);
  if (!check::kSanitizer) test_views_in_turn(random);
}

}  // namespace

int main() {
  test_overlap();
  test_rasterize();
  return check::result();
}
