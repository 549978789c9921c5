// The CUDA kernels on the CPU, through cuda_emulator.h: whole kernels, every thread, against plain loops and against the
// CPU ops. What this cannot show: speed, and anything the hardware does differently from its manual.
#include <algorithm>
#include <random>

#include "core/match_kernel.cuh"
#include "mirror/match_kernel.h"

namespace {

using namespace mirror;
using namespace mirror::cuda;
using emulator::Machine;

int failures = 0;

#define CHECK(condition, ...)                                        \
  do {                                                               \
    if (!(condition)) {                                              \
      std::printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);    \
      std::printf(__VA_ARGS__);                                      \
      std::printf("\n");                                             \
      if (++failures > 20) std::exit(1);                             \
    }                                                                \
  } while (false)

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
    const int size = uniform(std::min<int>(smallest_size, static_cast<int>(capacity)), static_cast<int>(capacity));
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
      squared_norms(photos.data.data(), photos.sizes.data(), photos.images, photos.capacity, depth, out.data());
    });
  }
};

void same_scores(const std::vector<float>& got, const std::vector<float>& expected, const char* what) {
  for (size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == expected[i], "%s, score %zu: expected %.9g, got %.9g", what, i, expected[i], got[i]);
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
  Lists expected{std::vector<std::vector<int32_t>>(static_cast<size_t>(count)), std::vector<std::vector<float>>(static_cast<size_t>(count))};
  mirror::mutual_matches(a.descriptors(), b.descriptors(), pairs.data(), count, depth, max_ratio, {receive, &expected}, serial());

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
    CHECK(std::vector<int32_t>(matches.begin() + begin, matches.begin() + end) == expected.matches[p], "matches of pair %zu", p);
    CHECK(std::vector<float>(ratios.begin() + begin, ratios.begin() + end) == expected.ratios[p], "ratios of pair %zu", p);
  }
}

void test_match_keys() {
  for (int n = 1; n < 12; ++n) {
    std::vector<int> seen(static_cast<size_t>(n * n), 0);
    for (int64_t number = 0; number < n * (n + 1) / 2; ++number) {
      const PairIndex pair = triangle_pair(number, n);
      CHECK(0 <= pair.a && pair.a <= pair.b && pair.b < n, "n %d, number %d", n, static_cast<int>(number));
      ++seen[static_cast<size_t>(pair.a * n + pair.b)];
    }
    for (int a = 0; a < n; ++a)
      for (int b = a; b < n; ++b) CHECK(seen[static_cast<size_t>(a * n + b)] == 1, "n %d: pair (%d, %d)", n, a, b);
  }
  const int32_t largest = 127 * 127 * 128;
  CHECK(match_key(0, 1023) > 0, "a key is never 0");
  CHECK(match_key(largest, 0) > match_key(largest, 1) && match_key(1, 1023) > match_key(0, 0), "order of keys");
  const uint64_t wide = widen_key(match_key(largest, 1023), 31744);
  CHECK(key_product(wide) == largest && key_index(wide) == 32767, "round trip");
}

void test_match_kernel() {
  test_match_keys();
  test_match_scores(make_photos(3, 70, 127, 0), make_photos(4, 100, 127, 2), -1, 1, false);
  test_match_scores(make_photos(3, 130, 1, 1), make_photos(3, 90, 1, 1), -1, 4, false);    // ties
  test_match_scores(make_photos(3, 65, 127, 64), make_photos(3, 129, 127, 128), 65, 8, true);
  test_match_scores(make_photos(2, 3, 1, 0), make_photos(3, 2, 1, 0), -1, 1, false);       // tiny
  test_match_scores(make_photos(1, 70, 1, 66), make_photos(1, 2100, 1, 2090), -1, 8, true);  // three column blocks
  test_match_scores(make_photos(1, 40, 127, 40), make_photos(1, 1025, 127, 1025), -1, 4, false);
  test_match_self(make_photos(5, 66, 127, 0));
  test_match_self(make_photos(4, 66, 2, 0));
  test_mutual_matches(make_photos(3, 80, 127, 0), make_photos(2, 70, 127, 30), -1, 0.97f, 2);
  test_mutual_matches(make_photos(3, 80, 1, 0), make_photos(2, 70, 1, 30), 64, 2.0f, 1);
}

}  // namespace

int main() {
  test_match_kernel();
  std::printf(failures == 0 ? "ok\n" : "%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
