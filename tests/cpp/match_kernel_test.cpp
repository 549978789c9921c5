// Every instruction set of this machine against a direct evaluation of the contract, and against each other bit for bit.
#include "mirror/match_kernel.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <mutex>
#include <stdexcept>

#include "check.h"
#include "core/float_mode.h"
#include "core/match_kernel_pair.h"

using namespace mirror;
using check::Random;

namespace {

enum class Kind { kRandom, kTies, kZeros, kSaturated, kEqual, kFewDifferent };
constexpr Kind kKinds[] = {Kind::kRandom,    Kind::kTies,  Kind::kZeros,
                           Kind::kSaturated, Kind::kEqual, Kind::kFewDifferent};

uint8_t component(Kind kind, Random& random, int64_t row, int k) {
  switch (kind) {
    case Kind::kRandom:
      return static_cast<uint8_t>(random.below(3) == 0 ? random.below(128) : random.below(12));
    case Kind::kTies:
      return static_cast<uint8_t>(random.below(16) == 0);
    case Kind::kZeros:
      return 0;
    case Kind::kSaturated:
      return 127;
    case Kind::kEqual:
      return static_cast<uint8_t>(k);
    case Kind::kFewDifferent:
      return static_cast<uint8_t>(k % 7 == row % 5 ? 100 : 3);
  }
  return 0;
}

// Photos of given sizes. Rows beyond a photo's size are poison; what would follow the last row is not allocated.
struct Photos {
  std::vector<int32_t> sizes;
  int64_t capacity = 0;
  std::vector<uint8_t> data;

  Photos(Kind kind, std::vector<int32_t> photo_sizes, uint64_t seed) : sizes(std::move(photo_sizes)) {
    for (int32_t size : sizes) capacity = std::max<int64_t>(capacity, size);
    Random random(seed);
    const int64_t last = static_cast<int64_t>(sizes.size()) - 1;
    data.assign(static_cast<size_t>((last * capacity + sizes.back()) * kDescriptorLength), 0xff);
    for (int64_t i = 0; i <= last; ++i)
      for (int64_t row = 0; row < sizes[static_cast<size_t>(i)]; ++row)
        for (int k = 0; k < kDescriptorLength; ++k)
          data[static_cast<size_t>((i * capacity + row) * kDescriptorLength + k)] =
              component(kind, random, row, k);
  }
  // A share of this photo's rows appears, a little changed, in another: so that there are true matches.
  void plant(int64_t from, int64_t to, uint64_t seed) {
    Random random(seed);
    const int64_t size = std::min(sizes[static_cast<size_t>(from)], sizes[static_cast<size_t>(to)]);
    for (int64_t row = 0; row < size; row += 2)
      for (int k = 0; k < kDescriptorLength; ++k) {
        const int value = at(from, row)[k] + static_cast<int>(random.below(5)) - 2;
        data[static_cast<size_t>((to * capacity + size - 1 - row) * kDescriptorLength + k)] =
            static_cast<uint8_t>(std::clamp(value, 0, 127));
      }
  }
  int64_t count() const { return static_cast<int64_t>(sizes.size()); }
  const uint8_t* at(int64_t photo, int64_t row) const {
    return data.data() + (photo * capacity + row) * kDescriptorLength;
  }
  Descriptors view() const { return {data.data(), sizes.data(), count(), capacity}; }
};

struct Match {
  int32_t p, q;
  float ratio_p, ratio_q;
  bool operator==(const Match& o) const {
    return p == o.p && q == o.q && std::memcmp(&ratio_p, &o.ratio_p, 4) == 0 &&
           std::memcmp(&ratio_q, &o.ratio_q, 4) == 0;
  }
};
using Matches = std::vector<Match>;

// ---- the contract, literally ----------------------------------------------------------------------------------------

struct Neighbours {
  std::vector<int32_t> best, second, best_dot, second_dot;
};

Neighbours neighbours(const std::vector<int32_t>& dots, int32_t rows, int32_t columns, bool transposed) {
  Neighbours n;
  for (int32_t r = 0; r < (transposed ? columns : rows); ++r) {
    int32_t best = -1, second = -1, best_dot = -1, second_dot = -1;
    for (int32_t c = 0; c < (transposed ? rows : columns); ++c) {
      const int32_t dot = dots[static_cast<size_t>(transposed ? c * columns + r : r * columns + c)];
      if (dot > best_dot) {
        second = best, second_dot = best_dot;
        best = c, best_dot = dot;
      } else if (dot > second_dot) {
        second = c, second_dot = dot;
      }
    }
    n.best.push_back(best), n.second.push_back(second);
    n.best_dot.push_back(best_dot), n.second_dot.push_back(second_dot);
  }
  return n;
}

int32_t dot(const uint8_t* a, const uint8_t* b) {
  int32_t sum = 0;
  for (int k = 0; k < kDescriptorLength; ++k) sum += a[k] * b[k];
  return sum;
}

// The coarse descriptors' product.
int32_t coarse_dot(const uint8_t* a, const uint8_t* b) {
  int32_t sum = 0;
  for (int k = 0; k < kDescriptorLength; ++k) {
    if (k / 32 % 2 == 1) continue;
    auto value = [k](const uint8_t* x) { return std::min(127, ((x[k] + x[k + 32]) * 181 + 128) / 256); };
    sum += value(a) * value(b);
  }
  return sum;
}

// Marks the candidates of every row: of every 512 columns the two largest, of these the four largest.
void mark_candidates(const std::vector<int32_t>& coarse, int32_t rows, int32_t columns, bool transposed,
                     std::vector<char>& marked) {
  for (int32_t r = 0; r < (transposed ? columns : rows); ++r) {
    const int32_t others = transposed ? rows : columns;
    auto at = [&](int32_t c) { return static_cast<size_t>(transposed ? c * columns + r : r * columns + c); };
    auto closer = [&](int32_t x, int32_t y) {
      return coarse[at(x)] != coarse[at(y)] ? coarse[at(x)] > coarse[at(y)] : x < y;
    };
    std::vector<int32_t> best;
    for (int32_t begin = 0; begin < others; begin += 512) {
      std::vector<int32_t> block;
      for (int32_t c = begin; c < std::min(others, begin + 512); ++c) block.push_back(c);
      std::sort(block.begin(), block.end(), closer);
      best.insert(best.end(), block.begin(), block.begin() + std::min<int64_t>(2, others - begin));
    }
    std::sort(best.begin(), best.end(), closer);
    for (size_t k = 0; k < 4; ++k) marked[at(best[k])] = 1;
  }
}

Matches reference(const Photos& a, int64_t i, const Photos& b, int64_t j, int64_t depth, bool exact = true) {
  const int64_t limit = depth < 0 ? kMaxFeatures : depth;
  const int32_t rows = static_cast<int32_t>(std::min<int64_t>(a.sizes[static_cast<size_t>(i)], limit));
  const int32_t columns = static_cast<int32_t>(std::min<int64_t>(b.sizes[static_cast<size_t>(j)], limit));
  Matches matches;
  if (rows < 2 || columns < 2) return matches;
  std::vector<int32_t> dots(static_cast<size_t>(rows) * static_cast<size_t>(columns));
  for (int32_t r = 0; r < rows; ++r)
    for (int32_t c = 0; c < columns; ++c)
      dots[static_cast<size_t>(r * columns + c)] = dot(a.at(i, r), b.at(j, c));
  if (!exact && std::min(rows, columns) >= 1024) {
    std::vector<int32_t> coarse(dots.size());
    std::vector<char> marked(dots.size());
    for (int32_t r = 0; r < rows; ++r)
      for (int32_t c = 0; c < columns; ++c)
        coarse[static_cast<size_t>(r * columns + c)] = coarse_dot(a.at(i, r), b.at(j, c));
    mark_candidates(coarse, rows, columns, false, marked);
    mark_candidates(coarse, rows, columns, true, marked);
    for (size_t n = 0; n < dots.size(); ++n)
      if (!marked[n]) dots[n] = -1;
  }
  const Neighbours from_a = neighbours(dots, rows, columns, false),
                   from_b = neighbours(dots, rows, columns, true);
  auto squared = [&](int32_t p, int32_t q) {
    return static_cast<float>(std::max(
        1, dot(a.at(i, p), a.at(i, p)) + dot(b.at(j, q), b.at(j, q)) - 2 * dot(a.at(i, p), b.at(j, q))));
  };
  for (int32_t p = 0; p < rows; ++p) {
    const int32_t q = from_a.best[static_cast<size_t>(p)];
    if (from_b.best[static_cast<size_t>(q)] != p) continue;
    const float best = squared(p, q);
    const float ratio_p = std::min(1.0f, std::sqrt(best / squared(p, from_a.second[static_cast<size_t>(p)])));
    const float ratio_q = std::min(1.0f, std::sqrt(best / squared(from_b.second[static_cast<size_t>(q)], q)));
    matches.push_back({p, q, ratio_p, ratio_q});
  }
  return matches;
}

double reference_score(const Matches& matches) {
  double sum = 0;
  for (const Match& m : matches) {
    const double closeness = 1 - (static_cast<double>(m.ratio_p) + static_cast<double>(m.ratio_q)) / 2;
    sum += closeness * closeness;
  }
  return sum;
}

// ---- the ops, conveniently ------------------------------------------------------------------------------------------

using PairIndices = std::vector<std::array<int64_t, 2>>;

std::vector<float> all_scores(const Photos& a, const Photos& b, int64_t depth, const Parallel& parallel) {
  std::vector<float> scores(static_cast<size_t>(a.count() * b.count()), -1);
  match_kernel(a.view(), b.view(), depth, scores.data(), parallel);
  return scores;
}

std::vector<float> self_scores(const Photos& photos, int64_t depth, const Parallel& parallel) {
  std::vector<float> scores(static_cast<size_t>(photos.count() * photos.count()), -1);
  match_kernel_self(photos.view(), depth, scores.data(), parallel);
  return scores;
}

std::vector<float> pair_scores(const Photos& a, const Photos& b, const PairIndices& pairs, int64_t depth,
                               const Parallel& parallel) {
  std::vector<float> scores(pairs.size(), -1);
  match_kernel_pairs(a.view(), b.view(), pairs.empty() ? nullptr : pairs[0].data(),
                     static_cast<int64_t>(pairs.size()), depth, scores.data(), parallel);
  return scores;
}

std::vector<Matches> all_matches(const Photos& a, const Photos& b, const PairIndices& pairs, int64_t depth,
                                 float max_ratio, const Parallel& parallel, bool exact = true) {
  struct Received {
    std::mutex mutex;
    std::vector<Matches> matches;
    std::vector<int> calls;
  } received;
  received.matches.resize(pairs.size());
  received.calls.resize(pairs.size());
  auto receive = [](void* context, int64_t pair, int64_t count, const int32_t* matches, const float* ratios) {
    Received& r = *static_cast<Received*>(context);
    const std::lock_guard<std::mutex> lock(r.mutex);
    ++r.calls[static_cast<size_t>(pair)];
    for (int64_t m = 0; m < count; ++m)
      r.matches[static_cast<size_t>(pair)].push_back(
          {matches[2 * m], matches[2 * m + 1], ratios[2 * m], ratios[2 * m + 1]});
  };
  mutual_matches(a.view(), b.view(), pairs.empty() ? nullptr : pairs[0].data(),
                 static_cast<int64_t>(pairs.size()), depth, max_ratio, {receive, &received}, parallel, exact);
  for (int calls : received.calls) CHECK_EQ(calls, 1);
  return received.matches;
}

PairIndices every_pair(const Photos& a, const Photos& b) {
  PairIndices pairs;
  for (int64_t i = 0; i < a.count(); ++i)
    for (int64_t j = 0; j < b.count(); ++j) pairs.push_back({i, j});
  return pairs;
}

Matches below(const Matches& matches, float max_ratio) {
  Matches kept;
  for (const Match& m : matches)
    if (std::min(m.ratio_p, m.ratio_q) < max_ratio) kept.push_back(m);
  return kept;
}

// ---- tests ----------------------------------------------------------------------------------------------------------

// Scores and matches of every pair of two sets against the contract, by every path, at every level.
void check_sets(const Photos& a, const Photos& b, int64_t depth) {
  const PairIndices pairs = every_pair(a, b);
  std::vector<Matches> expected;
  for (const auto& pair : pairs) expected.push_back(reference(a, pair[0], b, pair[1], depth));
  std::vector<float> first_level;
  for (const Isa isa : check::isa_levels()) {
    check::use_isa(isa);
    const std::vector<float> scores = all_scores(a, b, depth, serial());
    for (size_t i = 0; i < pairs.size(); ++i)
      CHECK_NEAR(scores[i], reference_score(expected[i]),
                 1e-6 * (1 + static_cast<double>(expected[i].size())));
    CHECK(all_matches(a, b, pairs, depth, 2.0f, serial()) == expected);
    CHECK(pair_scores(a, b, pairs, depth, serial()) == scores);
    if (first_level.empty()) first_level = scores;
    CHECK(scores == first_level);
  }
}

void test_kinds_and_sizes() {
  const std::vector<int32_t> small = {0, 1, 2, 3, 16, 17, 31, 32, 33, 63, 64, 65, 100};
  for (const Kind kind : kKinds) {
    Photos a(kind, small, 1), b(kind, {100, 64, 2, 33, 0, 1, 47}, 2);
    check_sets(a, b, -1);
    check_sets(a, b, 34);
    a.plant(12, 11, 3);
    check_sets(a, a, -1);
  }
}

// More than one block of 1024 rows or 512 columns, and sizes around the borders.
void test_several_blocks() {
  for (const Kind kind : {Kind::kTies, Kind::kRandom, Kind::kZeros, Kind::kFewDifferent}) {
    if (check::kSanitizer && kind != Kind::kTies) break;
    Photos a(kind, {1100, 513, 512}, 4);
    a.plant(0, 1, 5);
    check_sets(a, Photos(kind, {577}, 6), -1);
  }
  if (check::kSanitizer) return;
  Photos large(Kind::kRandom, {2049, 1030}, 7);
  large.plant(0, 1, 8);
  check_sets(large, large, -1);
}

// Photos of fewer features than two passes need, and sizes around the borders of blocks.
void test_two_passes() {
  for (const Kind kind : {Kind::kTies, Kind::kRandom, Kind::kFewDifferent}) {
    if (check::kSanitizer && kind != Kind::kTies) break;
    const Photos a(kind, {1100, 1023}, 25), b(kind, {1030}, 26);
    const PairIndices across = every_pair(a, b), within = {{0, 0}};
    const std::vector<Matches> expected = {reference(a, 0, b, 0, -1, false), reference(a, 1, b, 0, -1)};
    const std::vector<Matches> same = {reference(a, 0, a, 0, -1, false)};
    CHECK(same[0].size() > 0);
    for (const Isa isa : check::isa_levels()) {
      check::use_isa(isa);
      CHECK(all_matches(a, b, across, -1, 2.0f, serial(), false) == expected);
      CHECK(all_matches(a, a, within, -1, 2.0f, threads(3), false) == same);
      CHECK(all_matches(a, b, across, 1023, 2.0f, serial(), false) ==
            all_matches(a, b, across, 1023, 2.0f, serial()));
    }
  }
}

void test_depths() {
  Photos photos(Kind::kRandom, {90, 70, 5, 0}, 9);
  photos.plant(0, 1, 10);
  for (const int64_t depth : {0, 1, 2, 3, 64, 89, 90, 1000}) check_sets(photos, photos, depth);
}

void test_planted_matches() {
  Photos photos(Kind::kRandom, {512, 512, 400}, 11);
  photos.plant(0, 1, 12);
  for (const Isa isa : check::isa_levels()) {
    check::use_isa(isa);
    const std::vector<float> scores = self_scores(photos, -1, serial());
    CHECK(scores[1] > 100);  // half of 512 rows match clearly
    CHECK(scores[2] < scores[1]);
    CHECK(scores[0] > scores[1]);  // a photo against itself
    CHECK(below(all_matches(photos, photos, {{0, 1}}, -1, 2.0f, serial())[0], 0.5f).size() >= 250);
  }
}

void test_threads_and_paths() {
  std::vector<int32_t> sizes;
  Random random(13);
  for (int i = 0; i < 41; ++i) sizes.push_back(static_cast<int32_t>(random.below(90)));
  Photos a(Kind::kRandom, sizes, 14), b(Kind::kRandom, {64, 3, 80, 80, 12}, 15);
  for (int i = 0; i + 1 < 41; i += 3) a.plant(i, i + 1, 16);
  PairIndices pairs;
  for (int i = 0; i < 300; ++i) pairs.push_back({random.below(41), random.below(41)});
  for (int64_t i = 0; i < 41; ++i) pairs.push_back({i, i});
  pairs.push_back({3, 4}), pairs.push_back({4, 3}), pairs.push_back({3, 4});

  check::use_isa(Isa::kPortable);
  const std::vector<float> self = self_scores(a, -1, serial()), other = all_scores(a, b, 50, serial());
  const std::vector<Matches> matches = all_matches(a, a, pairs, -1, 0.9f, serial());
  CHECK(all_scores(a, a, -1, serial()) == self);
  for (const Isa isa : check::isa_levels())
    for (const int count : {1, 2, 4, 5}) {
      check::use_isa(isa);
      const Parallel parallel = threads(count);
      CHECK(self_scores(a, -1, parallel) == self);
      CHECK(all_scores(a, a, -1, parallel) == self);
      CHECK(all_scores(a, b, 50, parallel) == other);
      CHECK(all_matches(a, a, pairs, -1, 0.9f, parallel) == matches);
      const std::vector<float> listed = pair_scores(a, a, pairs, -1, parallel);
      for (size_t i = 0; i < pairs.size(); ++i)
        CHECK_EQ(listed[i], self[static_cast<size_t>(pairs[i][0] * 41 + pairs[i][1])]);
    }

  // Seen from the other photo: the same matches, turned round.
  const std::vector<Matches> there = all_matches(a, a, {{3, 4}}, -1, 2.0f, serial());
  std::vector<Matches> back = all_matches(a, a, {{4, 3}}, -1, 2.0f, serial());
  for (Match& m : back[0]) m = {m.q, m.p, m.ratio_q, m.ratio_p};
  std::sort(back[0].begin(), back[0].end(), [](const Match& x, const Match& y) { return x.p < y.p; });
  CHECK(!there[0].empty());
  CHECK(there == back);
}

void test_max_ratio() {
  Photos photos(Kind::kRandom, {128, 128}, 17);
  photos.plant(0, 1, 18);
  const Matches all = reference(photos, 0, photos, 1, -1);
  CHECK(below(all, 0.9f).size() < all.size() && below(all, 0.1f).size() > 0);
  for (const float max_ratio : {0.0f, 0.1f, 0.5f, 0.9f, 1.0f})
    CHECK(all_matches(photos, photos, {{0, 1}}, -1, max_ratio, serial())[0] == below(all, max_ratio));
}

void test_empty() {
  Photos photos(Kind::kRandom, {5, 7}, 19);
  const Descriptors none;
  float score = -1;
  match_kernel(none, photos.view(), -1, &score, serial());
  match_kernel(photos.view(), none, -1, &score, serial());
  match_kernel_self(none, -1, &score, threads(2));
  match_kernel_pairs(photos.view(), photos.view(), nullptr, 0, -1, &score, threads(2));
  mutual_matches(photos.view(), none, nullptr, 0, -1, 0.9f, {}, serial());
  CHECK_EQ(score, -1.0f);
  // Without sizes every photo is full.
  Descriptors full = photos.view();
  full.sizes = nullptr;
  full.images = 1, full.capacity = 5;
  match_kernel_self(full, -1, &score, serial());
  CHECK_EQ(score, self_scores(Photos(Kind::kRandom, {5}, 19), -1, serial())[0]);
}

void test_failures() {
  Descriptors large;
  large.capacity = kMaxFeatures + 1;
  CHECK_THROWS(match_kernel_self(large, -1, nullptr, serial()), std::invalid_argument);
  Photos photos(Kind::kRandom, {5, 7}, 20);
  const int64_t pair[2] = {0, 1};
  const MatchSink sink{
      [](void*, int64_t, int64_t, const int32_t*, const float*) { throw std::length_error("full"); },
      nullptr};
  CHECK_THROWS(mutual_matches(photos.view(), photos.view(), pair, 1, -1, 2.0f, sink, threads(2)),
               std::length_error);
}

// A caller that flushes denormals and rounds upwards gets the same bits, and its settings back.
void test_float_mode() {
#if defined(__SSE2__)
  Photos photos(Kind::kTies, {40, 60, 50}, 21);
  for (const Isa isa : check::isa_levels()) {
    check::use_isa(isa);
    const std::vector<float> expected = self_scores(photos, -1, serial());
    const unsigned before = _mm_getcsr(), odd = 0xdfc0;
    _mm_setcsr(odd);
    const std::vector<float> scores = self_scores(photos, -1, serial());
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    CHECK_EQ(after & ~0x3fu, odd & ~0x3fu);
    CHECK(scores == expected);
  }
#endif
}

#if defined(MIRROR_X86)
}  // namespace
namespace mirror {
extern const MatchIsa kMatchAmxEmulated;
}
namespace {

Matches direct(const MatchIsa& isa, const Photos& a, int64_t i, const Photos& b, int64_t j) {
  const int32_t rows = a.sizes[static_cast<size_t>(i)], columns = b.sizes[static_cast<size_t>(j)];
  const int64_t padded = (columns + kColumnStep - 1) / kColumnStep * kColumnStep;
  const Buffer<uint8_t> packed(padded * kDescriptorLength);
  isa.full.pack(b.at(j, 0), columns, padded, packed.get());
  std::vector<int32_t> row_norms(static_cast<size_t>(rows + kColumnStep)),
      column_norms(static_cast<size_t>(padded));
  for (int32_t p = 0; p < rows; ++p) row_norms[static_cast<size_t>(p)] = dot(a.at(i, p), a.at(i, p));
  for (int32_t q = 0; q < columns; ++q) column_norms[static_cast<size_t>(q)] = dot(b.at(j, q), b.at(j, q));
  PairMatcher matcher(isa, rows, columns);
  const int32_t count =
      matcher.matches({a.at(i, 0), row_norms.data(), rows}, {packed.get(), column_norms.data(), columns});
  Matches matches;
  for (int32_t m = 0; m < count; ++m)
    matches.push_back(
        {matcher.list().p[m], matcher.list().q[m], matcher.list().ratio_p[m], matcher.list().ratio_q[m]});
  return matches;
}

// The coarse pass alone: the keys of one block.
std::vector<int32_t> coarse_keys(const MatchIsa& isa, const Photos& rows, const Photos& columns) {
  std::vector<uint8_t> data[2];
  for (int side = 0; side < 2; ++side)
    for (int r = 0; r < 64; ++r) {
      const uint8_t* const row = (side == 0 ? rows : columns).at(0, r);
      data[side].insert(data[side].end(), row, row + kCoarseLength);
    }
  const Buffer<uint8_t> packed(64 * kCoarseLength);
  isa.coarse.pack(data[1].data(), 64, 64, packed.get());
  const Buffer<int32_t> keys(4 * 64);
  MatchBlock block;
  block.rows = data[0].data();
  block.last_panel = block.rows + kPanelRows * kCoarseLength;
  block.columns = packed.get();
  block.panels = 2, block.tiles = 4;
  block.row_first = keys.get(), block.row_second = keys.get() + 64;
  block.column_first = keys.get() + 128, block.column_second = keys.get() + 192;
  if (isa.begin != nullptr) isa.begin();
  isa.coarse.block(block);
  if (isa.end != nullptr) isa.end();
  return {keys.get(), keys.get() + 4 * 64};
}

// Kernels that this machine would not choose: AVX-512 without VBMI2, and AMX with its instructions in software.
void test_other_kernels() {
  std::vector<const MatchIsa*> kernels;
  if (isa_available() >= Isa::kAvx512) kernels.push_back(&kMatchAvx512);
  if (isa_available() >= Isa::kAvx512 && has_avx512_vbmi2()) kernels.push_back(&kMatchAmxEmulated);
  for (const Kind kind : kKinds) {
    Photos photos(kind, {2, 31, 64, 65, 130, kind == Kind::kRandom ? 1100 : 192}, 22);
    photos.plant(4, 3, 23);
    photos.plant(4, 5, 24);
    for (const MatchIsa* kernel : kernels)
      for (int64_t i = 0; i < photos.count(); ++i)
        for (int64_t j = 0; j < photos.count(); ++j)
          CHECK(direct(*kernel, photos, i, photos, j) == direct(kMatchPortable, photos, i, photos, j));
    for (const MatchIsa* kernel : kernels) {
      const Photos rows(kind, {64}, 28), columns(kind, {64}, 29);
      CHECK(coarse_keys(*kernel, rows, columns) == coarse_keys(kMatchPortable, rows, columns));
    }
  }
}
#else
void test_other_kernels() {}
#endif

}  // namespace

int main() {
  test_threads_and_paths();
  test_failures();
  if (check::kThreadSanitizer) return check::result();
  test_kinds_and_sizes();
  test_several_blocks();
  test_two_passes();
  test_depths();
  test_planted_matches();
  test_max_ratio();
  test_empty();
  test_float_mode();
  test_other_kernels();
  return check::result();
}
