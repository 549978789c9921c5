// Visible sets, shared triangles, masks and the order of a mesh against plain loops, bit for bit: every instruction set and thread
// count, sizes around the widths of vectors, blocks and slabs.
#include "mirror/overlap.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "check.h"
#include "core/overlap_kernels.h"
#include "core/overlap_visible.h"

namespace {

using namespace mirror;

struct Maps {
  std::vector<int32_t> ids;  // exactly as long as it must be: a read beyond is seen
  IdMaps maps;

  Maps(int64_t views, int64_t height, int64_t width, int64_t faces, int64_t run, check::Random& random) {
    int32_t id = -1;
    for (int64_t i = 0; i < views * height * width; ++i) {
      if (i % width == 0 || random.below(run) == 0) id = static_cast<int32_t>(random.below(faces + 1) - 1);
      ids.push_back(id);
    }
    ids.shrink_to_fit();
    maps = {ids.data(), views, height, width};
  }
  int32_t at(int64_t view, int64_t y, int64_t x) const {
    return ids[static_cast<size_t>((view * maps.height + y) * maps.width + x)];
  }
};

struct Sets {
  std::vector<uint64_t> bits;
  Bitsets sets;

  // `density` of 64; a third of the words is empty.
  Sets(int64_t views, int64_t words, int64_t density, check::Random& random) {
    for (int64_t i = 0; i < views * words; ++i) {
      uint64_t word = 0;
      for (int bit = 0; bit < 64; ++bit) word |= static_cast<uint64_t>(random.below(64) < density) << bit;
      bits.push_back(random.below(3) == 0 ? 0 : word);
    }
    bits.shrink_to_fit();
    sets = {bits.data(), views, words};
  }
  bool has(int64_t view, int64_t triangle) const {
    return (bits[static_cast<size_t>(view * sets.words + triangle / 64)] >> (triangle % 64) & 1) != 0;
  }
};

// Everything at every level and for several threads; run(parallel) checks itself.
template <class Run>
void everywhere(const Run& run) {
  for (const Isa isa : check::isa_levels()) {
    check::use_isa(isa);
    for (const int count : {1, 3}) run(threads(count));
  }
}

void test_runs() {
  check::Random random(1);
  for (const Isa isa : check::isa_levels()) {
    check::use_isa(isa);
    const overlap::Kernels kernels = overlap::selected_kernels();
    for (const int64_t width : {1, 2, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 127, 128, 200})
      for (const int64_t run : {1, 3, 40}) {
        const Maps row(1, 1, width, 3, run, random);
        std::vector<int32_t> starts(static_cast<size_t>(width + 16)), ids = starts, pixels, at;
        std::vector<overlap::RowMask> mask(static_cast<size_t>(width / 64 + 1));
        const int64_t runs = kernels.find_runs(row.ids.data(), width, starts.data(), ids.data(), mask.data());
        std::vector<int32_t> expected_starts, expected_ids, run_of;
        for (int32_t x = 0; x < width; ++x) {
          if (x == 0 || row.at(0, 0, x) != row.at(0, 0, x - 1)) {
            expected_starts.push_back(x);
            expected_ids.push_back(row.at(0, 0, x));
          }
          run_of.push_back(static_cast<int32_t>(expected_starts.size()) - 1);
        }
        CHECK_EQ(runs, static_cast<int64_t>(expected_starts.size()));
        expected_starts.push_back(static_cast<int32_t>(width));
        expected_ids.push_back(-1);
        run_of.push_back(static_cast<int32_t>(runs));
        CHECK(std::equal(expected_starts.begin(), expected_starts.end(), starts.begin()));
        CHECK(std::equal(expected_ids.begin(), expected_ids.end(), ids.begin()));
        pixels.resize(static_cast<size_t>(width + 1));
        std::iota(pixels.begin(), pixels.end(), 0);
        at.resize(pixels.size());
        kernels.runs_at(mask.data(), pixels.data(), width + 1, at.data());
        CHECK(at == run_of);
      }
  }
}

void test_visible() {
  check::Random random(2);
  for (const int64_t faces : {0, 1, 64, 65, 500})
    for (const int64_t width : {1, 70, 300})
      for (const int64_t least : {1, 2, 255, 256}) {
        const Maps maps(3, 20, width, faces, 4, random);
        const int64_t words = words_of(faces);
        std::vector<uint64_t> expected(static_cast<size_t>(3 * words));
        std::vector<int64_t> expected_counts(3);
        for (int64_t view = 0; view < 3; ++view) {
          std::vector<int64_t> pixels(static_cast<size_t>(faces));
          for (int64_t i = 0; i < 20 * width; ++i)
            if (const int32_t id = maps.at(view, 0, i); id >= 0) ++pixels[static_cast<size_t>(id)];
          for (int64_t t = 0; t < faces; ++t) {
            if (pixels[static_cast<size_t>(t)] < least) continue;
            expected[static_cast<size_t>(view * words + t / 64)] |= uint64_t{1} << t % 64;
            ++expected_counts[static_cast<size_t>(view)];
          }
        }
        everywhere([&](const Parallel& parallel) {
          std::vector<uint64_t> bits(expected.size(), 7);
          std::vector<int64_t> counts(3, 7);
          visible_triangles(maps.maps, faces, least, bits.data(), counts.data(), parallel);
          CHECK(bits == expected);
          CHECK(counts == expected_counts);
        });
      }
}

// In pieces as tiles give them: neither their order nor their size matters.
void test_pieces() {
  check::Random random(3);
  const Maps maps(1, 40, 50, 90, 3, random);
  for (const int64_t least : {1, 20}) {
    std::vector<uint64_t> whole(2), pieces(2);
    overlap::VisibleSet set(90, least);
    set.start(whole.data());
    set.add(maps.ids.data(), 2000, "visible_triangles", 0);
    const int64_t count = set.finish();
    set.start(pieces.data());
    for (int64_t first = 1900; first >= 0; first -= 100)
      set.add(maps.ids.data() + first, 100, "visible_triangles", 0);
    CHECK_EQ(set.finish(), count);
    CHECK(whole == pieces);
  }
}

double weighed(const Sets& sets, const std::vector<double>& weights, int64_t i, int64_t j) {
  double sum = 0;
  for (int64_t block = 0; block < sets.sets.words * 64; block += 512) {
    std::array<double, 8> s = {};
    for (int64_t t = block; t < std::min(block + 512, sets.sets.words * 64); ++t)
      if (sets.has(i, t) && sets.has(j, t)) s[static_cast<size_t>(t % 8)] += weights[static_cast<size_t>(t)];
    sum += ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
  }
  return sum;
}

void test_shared() {
  check::Random random(4);
  for (const int64_t views : {1, 7, 8, 9, 40})
    for (const int64_t words : {0, 1, 7, 8, 9, 100})
      for (const int64_t density : {1, 20, 64}) {
        if (check::kSanitizer && views == 40 && words == 100) continue;
        const Sets sets(views, words, density, random);
        std::vector<double> weights;
        for (int64_t t = 0; t < 64 * words; ++t) weights.push_back(random.normal());
        std::vector<int32_t> counts;
        std::vector<double> sums;
        for (int64_t i = 0; i < views; ++i)
          for (int64_t j = 0; j < views; ++j) {
            int32_t count = 0;
            for (int64_t w = 0; w < words; ++w)
              count += __builtin_popcountll(sets.bits[static_cast<size_t>(i * words + w)] &
                                            sets.bits[static_cast<size_t>(j * words + w)]);
            counts.push_back(count);
            sums.push_back(weighed(sets, weights, i, j));
          }
        const TriangleWeights given{weights.data(), 64 * words, Scalar::kFloat64};
        everywhere([&](const Parallel& parallel) {
          std::vector<int32_t> shared(counts.size(), -1);
          shared_triangles(sets.sets, shared.data(), parallel);
          CHECK(shared == counts);
          std::vector<double> together(sums.size(), -1);
          shared_weights(sets.sets, given, together.data(), parallel);
          CHECK(together == sums);
        });
      }
}

void test_masks() {
  check::Random random(5);
  for (const int64_t width : {1, 5, 64, 130})
    for (const auto& [rows, columns] :
         {std::pair<int64_t, int64_t>{1, 1}, {3, 4}, {5, 7}, {14, 14}, {2, 200}})
      for (const int64_t count : {1, 20}) {  // runs as they are, merged runs
        const int64_t height = 9, faces = 150;
        const Maps maps(2, height, width, faces, 3, random);
        const Sets sets(3, words_of(faces), 30, random);
        std::vector<int64_t> pairs;
        for (int64_t p = 0; p < count; ++p) pairs.insert(pairs.end(), {p % 4 == 3, random.below(3)});
        std::vector<float> expected;
        for (int64_t p = 0; p < count; ++p)
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < columns; ++c) {
              int64_t area = 0;
              for (int64_t y = 0; y < height; ++y)
                for (int64_t x = 0; x < width; ++x) {
                  const int64_t high =
                      std::min((y + 1) * rows, (r + 1) * height) - std::max(y * rows, r * height);
                  const int64_t wide =
                      std::min((x + 1) * columns, (c + 1) * width) - std::max(x * columns, c * width);
                  const int32_t id = maps.at(pairs[static_cast<size_t>(2 * p)], y, x);
                  if (high > 0 && wide > 0 && id >= 0 && sets.has(pairs[static_cast<size_t>(2 * p + 1)], id))
                    area += high * wide;
                }
              expected.push_back(
                  static_cast<float>(static_cast<double>(area) / static_cast<double>(height * width)));
            }
        everywhere([&](const Parallel& parallel) {
          std::vector<float> found(expected.size(), -1);
          overlap_masks(maps.maps, sets.sets, {pairs.data(), count, true}, {rows, columns}, found.data(),
                        parallel);
          CHECK(found == expected);
        });
      }
}

// Areas beyond 32 bits, of all cells together and left of the last edge.
void test_large_masks() {
  const int64_t height = 2, width = check::kSanitizer ? 40000 : 400000;
  std::vector<int32_t> ids(static_cast<size_t>(height * width), 0);
  const uint64_t bit = 1;
  std::vector<int64_t> pairs(20);
  for (const int64_t count : {1, 10})
    for (const int64_t size : {1, 3, 20011}) {
      std::vector<float> found(static_cast<size_t>(count * size));
      everywhere([&](const Parallel& parallel) {
        overlap_masks({ids.data(), 1, height, width}, {&bit, 1, 1}, {pairs.data(), count, true}, {1, size},
                      found.data(), parallel);
        CHECK(std::all_of(found.begin(), found.end(), [](float x) { return x == 1; }));
      });
    }
}

void test_order() {
  check::Random random(6);
  std::vector<float> vertices;
  for (int i = 0; i < 300; ++i) vertices.push_back(static_cast<float>(random.normal()));
  vertices[30] = std::numeric_limits<float>::quiet_NaN();
  vertices[61] = std::numeric_limits<float>::infinity();
  const int64_t faces = 40000;
  std::vector<int32_t> corners;
  for (int64_t i = 0; i < 3 * faces; ++i) corners.push_back(static_cast<int32_t>(random.below(100)));
  std::vector<int32_t> first(static_cast<size_t>(faces));
  morton_order(vertices.data(), Scalar::kFloat32, 100, corners.data(), faces, first.data(), serial());
  std::vector<int32_t> sorted = first;
  std::sort(sorted.begin(), sorted.end());
  for (int32_t i = 0; i < faces; ++i) CHECK_EQ(sorted[static_cast<size_t>(i)], i);
  const auto broken = [&](int32_t face) {
    const auto begin = corners.begin() + 3 * face;
    return std::find_if(begin, begin + 3, [](int32_t v) { return v == 10 || v == 20; }) != begin + 3;
  };
  CHECK(std::is_partitioned(first.begin(), first.end(), [&](int32_t face) { return !broken(face); }));
  std::vector<double> wide(vertices.begin(), vertices.end());
  everywhere([&](const Parallel& parallel) {
    std::vector<int32_t> order(first.size());
    morton_order(wide.data(), Scalar::kFloat64, 100, corners.data(), faces, order.data(), parallel);
    CHECK(order == first);
  });
}

void test_errors() {
  using Error = std::invalid_argument;
  const int32_t ids[] = {0, 1, 2, 5};
  const uint64_t bits[] = {1, 2};
  const int64_t pairs[] = {0, 0}, beyond[] = {0, 2};
  uint64_t set[1];
  int64_t count;
  float mask[4];
  double sums[4];
  const IdMaps maps{ids, 1, 2, 2};
  everywhere([&](const Parallel& parallel) {
    CHECK_THROWS(visible_triangles(maps, 5, 1, set, &count, parallel), Error);
    CHECK_THROWS(visible_triangles(maps, 6, 0, set, &count, parallel), Error);
    CHECK_THROWS(visible_triangles(maps, -1, 1, set, &count, parallel), Error);
    CHECK_THROWS(visible_triangles({ids, 1, 1 << 16, 1 << 16}, 6, 1, set, &count, parallel), Error);
    CHECK_THROWS(overlap_masks(maps, {bits, 2, 1}, {beyond, 1, true}, {1, 1}, mask, parallel), Error);
    CHECK_THROWS(overlap_masks(maps, {bits, 2, 1}, {pairs, 1, false}, {1, 1}, mask, parallel), Error);
    CHECK_THROWS(overlap_masks(maps, {bits, 2, 0}, {pairs, 1, true}, {1, 1}, mask, parallel), Error);
    CHECK_THROWS(overlap_masks(maps, {bits, 2, 1}, {pairs, 1, true}, {1, 0}, mask, parallel), Error);
    CHECK_THROWS(overlap_masks({ids, 1, 0, 2}, {bits, 2, 1}, {pairs, 1, true}, {1, 1}, mask, parallel),
                 Error);
    CHECK_THROWS(shared_weights({bits, 2, 1}, {nullptr, 0, Scalar::kFloat64}, sums, parallel), Error);
    CHECK_THROWS(shared_weights({bits, 2, 1}, {nullptr, 65, Scalar::kFloat64}, sums, parallel), Error);
    CHECK_THROWS(shared_weights({bits, 2, 1}, {sums, 2, Scalar::kFloat16}, sums, parallel), Error);
    int32_t order[1];
    CHECK_THROWS(morton_order(sums, Scalar::kFloat64, 1, ids, 1, order, parallel), Error);
  });
}

}  // namespace

int main() {
  test_runs();
  test_visible();
  test_pieces();
  test_shared();
  test_masks();
  test_large_masks();
  test_order();
  test_errors();
  return check::result();
}
