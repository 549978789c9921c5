// The CUDA kernels on the CPU, through cuda_emulator.h: whole kernels, every thread, against plain loops and against the
// CPU ops. What this cannot show: speed, and anything the hardware does differently from its manual.
#include <algorithm>
#include <random>

#include "check.h"
#include "core/match_kernel.cuh"
#include "core/pr_mac_prepare.cuh"
#include "core/pr_mac_tile.cuh"
#include "mirror/match_kernel.h"

namespace {

using namespace mirror;
using namespace mirror::cuda;
using emulator::Machine;

std::mt19937 random_engine(7);

int uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_engine); }

void launch(unsigned blocks, unsigned threads, size_t shared, const std::function<void()>& kernel) {
  Machine::instance().launch({blocks, 1, 1}, {threads, 1, 1}, shared, kernel);
}

// ---- match kernel ---------------------------------------------------------------------------------------------------

struct Photos {
  std::vector<uint8_t> data;
  std::vector<int32_t> sizes;
  int64_t images, capacity;
  Descriptors descriptors() const { return {data.data(), sizes.data(), images, capacity}; }
};

// `largest` 127: as photos have them; 1: many ties; rows beyond a photo's size are 255 so that reading them shows.
Photos make_photos(int64_t images, int64_t capacity, int largest, int smallest_size) {
  Photos photos{{}, {}, images, capacity};
  photos.data.resize(static_cast<size_t>(images * capacity * kDescriptorBytes), 255);
  for (int64_t i = 0; i < images; ++i) {
    const int size =
        uniform(std::min<int>(smallest_size, static_cast<int>(capacity)), static_cast<int>(capacity));
    photos.sizes.push_back(size);
    for (int64_t k = 0; k < size * kDescriptorBytes; ++k)
      photos.data[static_cast<size_t>(i * capacity * kDescriptorBytes + k)] =
          static_cast<uint8_t>(largest == 127 ? uniform(0, 127) : uniform(0, largest) * 127 / largest);
  }
  return photos;
}

struct MatchRun {
  std::vector<int32_t> a_norms, b_norms;
  std::vector<unsigned char> scratch;
  MatchWork work{};
  unsigned threads;
  size_t shared;

  MatchRun(const Photos& a, const Photos& b, int64_t depth, MatchMode mode, int warps, bool in_global) {
    work.a = a.data.data(), work.b = b.data.data();
    work.a_sizes = a.sizes.data(), work.b_sizes = b.sizes.data();
    work.a_capacity = a.capacity, work.b_capacity = b.capacity;
    work.a_depth = static_cast<int32_t>(depth < 0 ? a.capacity : std::min(depth, a.capacity));
    work.b_depth = static_cast<int32_t>(depth < 0 ? b.capacity : std::min(depth, b.capacity));
    work.b_images = b.images;
    work.mode = mode;
    work.count = mode == MatchMode::kSelf ? a.images * (a.images + 1) / 2 : a.images * b.images;
    threads = static_cast<unsigned>(32 * warps);
    const int64_t state = pair_state_bytes(work.a_depth, work.b_depth);
    shared = static_cast<size_t>(kFixedSharedBytes + (in_global ? 0 : state));
    if (in_global) {
      scratch.assign(static_cast<size_t>(2 * state + 16), 0xff);
      work.scratch = scratch.data() + (16 - reinterpret_cast<uintptr_t>(scratch.data()) % 16) % 16;
    }
    norms(a, work.a_depth, a_norms);
    norms(b, work.b_depth, b_norms);
    work.a_norms = a_norms.data(), work.b_norms = b_norms.data();
  }
  static void norms(const Photos& photos, int32_t depth, std::vector<int32_t>& out) {
    out.assign(static_cast<size_t>(photos.images * depth), -1);
    launch(static_cast<unsigned>((out.size() + 31) / 32), 32, 0, [&] {
      squared_norms(photos.data.data(), photos.sizes.data(), photos.images, photos.capacity, depth,
                    out.data());
    });
  }
};

void same_scores(const std::vector<float>& got, const std::vector<float>& expected, const char* what) {
  for (size_t i = 0; i < got.size(); ++i)
    CHECK_SAY(got[i] == expected[i], "%s, score %zu: expected %.9g, got %.9g", what, i, expected[i], got[i]);
}

void test_match_scores(const Photos& a, const Photos& b, int64_t depth, int warps, bool in_global) {
  std::vector<float> expected(static_cast<size_t>(a.images * b.images)), got(expected.size(), -1.0f);
  mirror::match_kernel(a.descriptors(), b.descriptors(), depth, expected.data(), serial());
  MatchRun run(a, b, depth, MatchMode::kAll, warps, in_global);
  run.work.scores = got.data();
  launch(2, run.threads, run.shared, [&] { match_scores(run.work); });
  same_scores(got, expected, "all pairs");
}

void test_match_self(const Photos& a) {
  std::vector<float> expected(static_cast<size_t>(a.images * a.images)), got(expected.size(), -1.0f);
  mirror::match_kernel(a.descriptors(), a.descriptors(), -1, expected.data(), serial());
  MatchRun run(a, a, -1, MatchMode::kSelf, 1, false);
  run.work.scores = got.data();
  launch(3, run.threads, run.shared, [&] { match_scores(run.work); });
  same_scores(got, expected, "self-join");
}

struct Lists {
  std::vector<std::vector<int32_t>> matches;
  std::vector<std::vector<float>> ratios;
};

void receive(void* context, int64_t pair, int64_t count, const int32_t* matches, const float* ratios) {
  Lists& lists = *static_cast<Lists*>(context);
  lists.matches[static_cast<size_t>(pair)].assign(matches, matches + 2 * count);
  lists.ratios[static_cast<size_t>(pair)].assign(ratios, ratios + 2 * count);
}

void test_mutual_matches(const Photos& a, const Photos& b, int64_t depth, float max_ratio, int warps) {
  std::vector<int64_t> pairs;
  for (int64_t i = 0; i < a.images; ++i)
    for (int64_t j = b.images - 1; j >= 0; --j) pairs.insert(pairs.end(), {i, j});
  const int64_t count = static_cast<int64_t>(pairs.size() / 2);
  Lists expected{std::vector<std::vector<int32_t>>(static_cast<size_t>(count)),
                 std::vector<std::vector<float>>(static_cast<size_t>(count))};
  mirror::mutual_matches(a.descriptors(), b.descriptors(), pairs.data(), count, depth, max_ratio,
                         {receive, &expected}, serial());

  MatchRun run(a, b, depth, MatchMode::kPairs, warps, false);
  std::vector<int64_t> offsets(static_cast<size_t>(count + 1), -1);
  run.work.pairs = pairs.data();
  run.work.count = count;
  run.work.max_ratio = max_ratio;
  run.work.offsets = offsets.data();
  launch(2, run.threads, run.shared, [&] { match_lists<false>(run.work); });
  launch(1, 64, 64 * sizeof(int64_t), [&] { counts_to_offsets(offsets.data(), count); });
  const size_t total = static_cast<size_t>(offsets[static_cast<size_t>(count)]);
  std::vector<int32_t> matches(2 * total, -1);
  std::vector<float> ratios(2 * total, -1.0f);
  run.work.matches = matches.data();
  run.work.ratios = ratios.data();
  launch(2, run.threads, run.shared, [&] { match_lists<true>(run.work); });
  for (size_t p = 0; p < static_cast<size_t>(count); ++p) {
    const size_t begin = static_cast<size_t>(2 * offsets[p]), end = static_cast<size_t>(2 * offsets[p + 1]);
    CHECK_SAY(std::vector<int32_t>(matches.begin() + begin, matches.begin() + end) == expected.matches[p],
              "matches of pair %zu", p);
    CHECK_SAY(std::vector<float>(ratios.begin() + begin, ratios.begin() + end) == expected.ratios[p],
              "ratios of pair %zu", p);
  }
}

void test_match_keys() {
  for (int n = 1; n < 12; ++n) {
    std::vector<int> seen(static_cast<size_t>(n * n), 0);
    for (int64_t number = 0; number < n * (n + 1) / 2; ++number) {
      const PairIndex pair = triangle_pair(number, n);
      CHECK_SAY(0 <= pair.a && pair.a <= pair.b && pair.b < n, "n %d, number %d", n,
                static_cast<int>(number));
      ++seen[static_cast<size_t>(pair.a * n + pair.b)];
    }
    for (int a = 0; a < n; ++a)
      for (int b = a; b < n; ++b)
        CHECK_SAY(seen[static_cast<size_t>(a * n + b)] == 1, "n %d: pair (%d, %d)", n, a, b);
  }
  const int32_t largest = 127 * 127 * 128;
  CHECK_SAY(match_key(0, 1023) > 0, "a key is never 0");
  CHECK_SAY(match_key(largest, 0) > match_key(largest, 1) && match_key(1, 1023) > match_key(0, 0),
            "order of keys");
  const uint64_t wide = widen_key(match_key(largest, 1023), 31744);
  CHECK_SAY(key_product(wide) == largest && key_index(wide) == 32767, "round trip");
}

void test_match_kernel() {
  test_match_keys();
  test_match_scores(make_photos(3, 70, 127, 0), make_photos(4, 100, 127, 2), -1, 1, false);
  test_match_scores(make_photos(3, 130, 1, 1), make_photos(3, 90, 1, 1), -1, 4, false);  // ties
  test_match_scores(make_photos(3, 65, 127, 64), make_photos(3, 129, 127, 128), 65, 8, true);
  test_match_scores(make_photos(2, 3, 1, 0), make_photos(3, 2, 1, 0), -1, 1, false);  // tiny
  test_match_scores(make_photos(1, 70, 1, 66), make_photos(1, 2100, 1, 2090), -1, 8,
                    true);  // three column blocks
  test_match_scores(make_photos(1, 40, 127, 40), make_photos(1, 1025, 127, 1025), -1, 4, false);
  test_match_self(make_photos(5, 66, 127, 0));
  test_match_self(make_photos(4, 66, 2, 0));
  test_mutual_matches(make_photos(3, 80, 127, 0), make_photos(2, 70, 127, 30), -1, 0.97f, 2);
  test_mutual_matches(make_photos(3, 80, 1, 0), make_photos(2, 70, 1, 30), 64, 2.0f, 1);
}

// ---- pr_mac ---------------------------------------------------------------------------------------------------------

uint16_t to_float16(float x) {  // exact inputs only
  const uint32_t bits = bits_of(x);
  const int exponent = static_cast<int>(bits >> 23 & 255) - 112;
  return static_cast<uint16_t>(
      (bits >> 16 & 0x8000) |
      (exponent <= 0 ? 0 : static_cast<uint32_t>(exponent) << 10 | (bits >> 13 & 1023)));
}
void assign(float value, float* out) { *out = value; }
void assign(float value, BFloat16* out) { *out = Convert<BFloat16>::from(value); }
void assign(float value, Float16* out) { *out = {to_float16(float_of(bits_of(value) & 0xffffe000u))}; }

// Images' regional vectors of one storage type, with everything that a Side points to. 16-byte aligned rows.
template <class Storage>
struct Images {
  std::vector<uint4> memory;
  std::vector<int32_t> sizes;
  std::vector<float> norms, bias;
  Side<Storage> side;

  // integers: small integers, so that sums are exact in any order and ties are common; else unit vectors.
  Images(int64_t images, int32_t capacity, int32_t channels, int smallest_size, bool integers) {
    const size_t rows = static_cast<size_t>(images * capacity),
                 padded = static_cast<size_t>((channels + 31) / 32 * 32);
    memory.assign(rows * padded * sizeof(Storage) / 16 + 1, uint4{0, 0, 0, 0});
    Storage* const data = reinterpret_cast<Storage*>(memory.data());
    for (int64_t i = 0; i < images; ++i)
      sizes.push_back(uniform(std::min(smallest_size, capacity), capacity));
    std::normal_distribution<float> normal;
    for (size_t r = 0; r < rows; ++r) {
      std::vector<float> row(static_cast<size_t>(channels));
      float sum = 0;
      for (float& x : row)
        x = integers ? static_cast<float>(uniform(-2, 2)) : normal(random_engine), sum += x * x;
      for (int32_t c = 0; c < channels; ++c)
        assign(integers ? row[static_cast<size_t>(c)] : row[static_cast<size_t>(c)] / std::sqrt(sum),
               data + r * padded + static_cast<size_t>(c));
    }
    norms.assign(rows, NAN);
    bias.assign(rows, NAN);
    side = {data, sizes.data(), norms.data(), bias.data(), images, capacity, static_cast<int32_t>(padded)};
  }
  void measure(Reduction reduction) {
    launch(static_cast<unsigned>(norms.size() / 32 + 1), 32, 0,
           [&] { measure_regions(side, is_distance(reduction), norms.data(), bias.data()); });
  }
  void copy_region(int64_t to, int32_t to_region, int64_t from,
                   int32_t from_region) {  // ties, and distances of zero
    std::copy_n(side.row(from, from_region), side.channels, const_cast<Storage*>(side.row(to, to_region)));
  }
};

// What the score of a pair should be: one FMA chain per product as on the CPU, plain loops.
template <class Storage>
float plain_score(const Side<Storage>& query, int64_t q, const Side<Storage>& target, int64_t t,
                  Reduction reduction, int32_t* argmax) {
  float sum = fold_start(reduction);
  for (int32_t i = 0; i < query.size(q); ++i) {
    float best = -INFINITY;
    int32_t index = 0;
    for (int32_t j = 0; j < target.size(t); ++j) {
      float dot = 0;
      for (int32_t c = 0; c < query.channels; ++c)
        dot = std::fma(to_float(query.row(q, i)[c]), to_float(target.row(t, j)[c]), dot);
      const float value = dot - target.bias[t * target.capacity + j];
      if (value > best) best = value, index = j;
    }
    const RegionValue found = region_value(reduction, query, q, i, target, t, {best, index});
    sum = fold_add(reduction, sum, found.value);
    if (argmax != nullptr) argmax[i] = target.size(t) > 0 ? found.region : -1;
  }
  if (argmax != nullptr) std::fill(argmax + query.size(q), argmax + query.capacity, -1);
  return fold_finish(reduction, sum, query.size(q));
}

template <class Storage>
TileWork<Storage> tile_work(const Side<Storage>& query, const Side<Storage>& target, Reduction reduction) {
  TileWork<Storage> work{};
  work.query = query, work.target = target, work.reduction = reduction;
  work.query_end = query.images, work.target_end = target.images;
  work.stride = target.images;
  return work;
}

bool close(float got, float expected, float tolerance) {
  return got == expected || std::fabs(got - expected) <= tolerance * std::max(1.0f, std::fabs(expected));
}

// All pairs; a_slots: more than stages when a group's query rows stay in shared memory.
template <class Engine, bool kArgmax = false>
void test_tiles(Images<typename Engine::Storage>& query, Images<typename Engine::Storage>& target,
                Reduction reduction, int32_t a_slots, float tolerance, const char* what) {
  query.measure(reduction), target.measure(reduction);
  const int64_t q_images = query.side.images, t_images = target.side.images;
  const size_t capacity = static_cast<size_t>(query.side.capacity),
               pairs = static_cast<size_t>(q_images * t_images);
  std::vector<float> scores(pairs, NAN);
  std::vector<int32_t> argmax(pairs * capacity, -7), expected_argmax(capacity);
  TileWork<typename Engine::Storage> work = tile_work(query.side, target.side, reduction);
  work.scores = scores.data();
  work.argmax = argmax.data();
  work.a_slots = a_slots;
  launch(static_cast<unsigned>(work.query_tiles() * work.target_tiles()), kTileThreads,
         static_cast<size_t>(tile_shared_bytes<Engine>(a_slots)),
         [&] { pr_mac_tiles<Engine, false, kArgmax>(work); });
  for (int64_t q = 0; q < q_images; ++q)
    for (int64_t t = 0; t < t_images; ++t) {
      const float expected = plain_score(query.side, q, target.side, t, reduction, expected_argmax.data());
      const float got = scores[static_cast<size_t>(q * t_images + t)];
      CHECK_SAY(close(got, expected, tolerance), "%s, reduction %d: score (%d, %d): expected %.9g, got %.9g",
                what, static_cast<int>(reduction), static_cast<int>(q), static_cast<int>(t), expected, got);
      if (!kArgmax) continue;
      const int32_t* const found = argmax.data() + static_cast<size_t>(q * t_images + t) * capacity;
      CHECK_SAY(std::equal(found, found + capacity, expected_argmax.data()), "%s: argmax of (%d, %d)", what,
                static_cast<int>(q), static_cast<int>(t));
    }
}

// The self-join, over one triangle and over two strips, must give the bits of all pairs.
template <class Engine>
void test_self(Images<typename Engine::Storage>& images, Reduction reduction, int32_t a_slots, bool in_global,
               const char* what) {
  images.measure(reduction);
  const int64_t n = images.side.images;
  std::vector<float> expected(static_cast<size_t>(n * n), NAN), got(expected.size(), NAN);
  TileWork<typename Engine::Storage> work = tile_work(images.side, images.side, reduction);
  work.a_slots = a_slots;
  const size_t tiles = static_cast<size_t>(work.query_tiles() * work.target_tiles());
  const size_t shared = static_cast<size_t>(tile_shared_bytes<Engine>(a_slots)),
               held = static_cast<size_t>(state_bytes(images.side.capacity));
  std::vector<float4> state(tiles * held / 16);
  work.scores = expected.data();
  launch(static_cast<unsigned>(tiles), kTileThreads, shared,
         [&] { pr_mac_tiles<Engine, false, false>(work); });
  if (in_global) work.state = reinterpret_cast<unsigned char*>(state.data());
  work.scores = work.opposite = got.data();
  work.opposite_stride = n;
  work.triangle = true;
  launch(static_cast<unsigned>(tiles), kTileThreads, shared + (in_global ? 0 : held),
         [&] { pr_mac_tiles<Engine, true, false>(work); });
  for (size_t i = 0; i < got.size(); ++i)
    CHECK_SAY(got[i] == expected[i], "%s: triangle, %zu: expected %.9g, got %.9g", what, i, expected[i],
              got[i]);

  std::vector<float> strip(static_cast<size_t>(32 * (n - 32)), NAN), turned(strip.size(), NAN);
  work.triangle = false;
  work.query_end = work.target_begin = 32;
  work.scores = strip.data(), work.stride = n - 32;
  work.opposite = turned.data(), work.opposite_stride = 32;
  launch(static_cast<unsigned>(work.query_tiles() * work.target_tiles()), kTileThreads,
         shared + (in_global ? 0 : held), [&] { pr_mac_tiles<Engine, true, false>(work); });
  for (int64_t q = 0; q < 32; ++q)
    for (int64_t t = 32; t < n; ++t) {
      CHECK_SAY(strip[static_cast<size_t>(q * (n - 32) + t - 32)] == expected[static_cast<size_t>(q * n + t)],
                "%s: strip", what);
      CHECK_SAY(turned[static_cast<size_t>((t - 32) * 32 + q)] == expected[static_cast<size_t>(t * n + q)],
                "%s: turned strip", what);
    }
}

void test_tile_index() {
  for (const auto& [rows, columns] : {std::pair<int, int>{1, 1}, {8, 3}, {9, 4}, {23, 5}, {7, 1}}) {
    std::vector<int> seen(static_cast<size_t>(rows * columns), 0);
    for (int number = 0; number < rows * columns; ++number) {
      const TileIndex tile = tile_of(number, rows, columns);
      CHECK_SAY(0 <= tile.query && tile.query < rows && 0 <= tile.target && tile.target < columns, "tile %d",
                number);
      ++seen[static_cast<size_t>(tile.query * columns + tile.target)];
    }
    CHECK_SAY(*std::min_element(seen.begin(), seen.end()) == 1, "every tile once");
  }
  for (int regions = 0; regions < 100; ++regions)
    for (int most : {4, 7, 8}) {
      const Steps steps = steps_of(regions, most);
      CHECK_SAY(steps.each <= most && steps.count * steps.each >= regions &&
                    (steps.count - 1) * steps.each < std::max(regions, 1),
                "%d regions, at most %d", regions, most);
    }
}

void test_pr_mac_tiles() {
  test_tile_index();
  using Bf7 = TensorEngine<BFloat16, BFloat16Mma, 7>;
  using Bf8 = TensorEngine<BFloat16, BFloat16Mma, 8>;
  using Half8 = TensorEngine<Float16, Float16Mma, 8>;
  {
    Images<float> query(33, 5, 70, 0, false), target(35, 6, 70, 0, false);
    target.copy_region(1, 3, 1, 0);  // a tie within an image
    query.copy_region(0, 0, 0, 1);
    for (int r = 0; r < 6; ++r)
      test_tiles<FloatEngine>(query, target, static_cast<Reduction>(r), FloatEngine::kStages, 0.0f,
                              "float32");
    for (int r = 0; r < 6; ++r)
      test_tiles<FloatEngine, true>(query, target, static_cast<Reduction>(r), 3, 0.0f, "float32, argmax");
    for (int r = 0; r < 6; ++r)
      test_tiles<FloatEngine, true>(query, query, static_cast<Reduction>(r), 3, 0.0f, "float32 with itself");
    test_self<FloatEngine>(target, Reduction::kCosine, FloatEngine::kStages, false, "float32");
    test_self<FloatEngine>(target, Reduction::kEuclidSum, 3, true, "float32");
  }
  {
    Images<float> query(2, 9, 32, 9, true), target(3, 4, 32, 0, true), none(3, 0, 32, 0, true);
    test_tiles<FloatEngine, true>(query, target, Reduction::kCosine, 2, 0.0f, "ties");
    test_tiles<FloatEngine>(query, none, Reduction::kCosine, 2, 0.0f, "targets without regions");
    test_tiles<FloatEngine, true>(query, none, Reduction::kSqEuclid, 2, 0.0f, "targets without regions");
    test_tiles<FloatEngine>(none, query, Reduction::kBest, 2, 0.0f, "queries without regions");
  }
  {
    Images<BFloat16> query(34, 5, 160, 0, true), target(36, 7, 160, 0, true);
    for (int r = 0; r < 6; ++r)
      test_tiles<Bf7>(query, target, static_cast<Reduction>(r), r % 2 == 0 ? 5 : 4, 1e-6f,
                      "bfloat16, integers");
    test_tiles<Bf8>(query, target, Reduction::kCosine, 5, 1e-6f, "bfloat16, 8 regions");
    test_self<Bf7>(target, Reduction::kCosine, 5, false, "bfloat16");
    test_self<Bf8>(target, Reduction::kHausdorff, 4, true, "bfloat16");
  }
  {
    Images<Float16> query(3, 35, 64, 30, false), target(40, 35, 64, 20, false);
    test_tiles<Half8>(query, target, Reduction::kCosine, 4, 1e-5f, "float16, 35 regions");
    test_tiles<Half8>(query, target, Reduction::kEuclidL2, 4, 1e-4f, "float16, 35 regions");
    test_tiles<Half8>(query, query, Reduction::kEuclidSum, 4, 1e-4f, "float16 with itself");
  }
}

}  // namespace

int main() {
  test_match_kernel();
  test_pr_mac_tiles();
  return check::result();
}
