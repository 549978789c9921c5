// Rasterising and overlap of mirror/cuda.h on the CPU, through cuda_emulator.h: the bits of the CPU ops.
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "core/overlap.cu"

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
  for (const int64_t views : {0, 1, 16, 17, 128, 150})
    for (const int64_t faces : {1, 500, 5000}) test_shared(views, faces, random);
  const Grid grids[] = {{1, 1}, {7, 7}, {56, 56}, {3, 50}};
  for (const Grid& grid : grids) {
    test_masks(30, 41, grid, 900, random);
    test_masks(5, 3, grid, 70, random);
  }
  test_masks(60, 200, grids[1], 3000, random);
}

}  // namespace

int main() {
  test_overlap();
  return check::result();
}
