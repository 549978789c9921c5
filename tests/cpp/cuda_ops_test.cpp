// The C++ interface of the CUDA ops (mirror/cuda.h) on the CPU: launchers and kernels, compiled against cuda_emulator.h,
// compared with the CPU ops. Strips of the top-k are 64 images here, so that there are several.
#define MIRROR_CUDA_STRIP 64

#include <algorithm>
#include <random>

#include "check.h"
#include "core/isa.h"
#include "core/match_kernel.cu"
#include "core/pr_mac.cu"
#include "core/pr_mac_backward.cu"
#include "core/pr_mac_tiles_bf16.cu"
#include "core/pr_mac_tiles_fp16.cu"
#include "core/pr_mac_tiles_fp32.cu"
#include "core/similarity_support.cu"

namespace {

using namespace mirror;

std::mt19937 random_engine(11);

int uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_engine); }

// Exactly as large as asked for, so that the sanitizers see what lies beyond.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : memory_(bytes / 256 + 2, Line()), bytes_(bytes) {}
  cuda::Workspace workspace() { return {memory_.data(), bytes_}; }

 private:
  struct alignas(256) Line {
    unsigned char bytes[256];
    Line() { std::memset(bytes, 0xff, sizeof bytes); }
  };
  std::vector<Line> memory_;
  size_t bytes_;
};

// ---- match kernel ---------------------------------------------------------------------------------------------------

struct Photos {
  std::vector<uint4> memory;
  std::vector<int32_t> sizes;
  Descriptors descriptors;

  Photos(int64_t images, int64_t capacity, int largest)
      : memory(static_cast<size_t>(images * capacity * 8 + 1)) {
    uint8_t* const data = reinterpret_cast<uint8_t*>(memory.data());
    for (int64_t k = 0; k < images * capacity * 128; ++k) data[k] = static_cast<uint8_t>(uniform(0, largest));
    for (int64_t i = 0; i < images; ++i) sizes.push_back(uniform(0, static_cast<int>(capacity)));
    descriptors = {data, sizes.data(), images, capacity};
  }
};

void check_bits(const std::vector<float>& got, const std::vector<float>& expected, const char* what) {
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK_SAY(got[i] == expected[i], "%s, %zu: expected %.9g, got %.9g", what, i, expected[i], got[i]);
}

void test_match(const Photos& a, const Photos& b, int64_t depth) {
  Scratch scratch(cuda::match_kernel_workspace(a.descriptors, b.descriptors, depth));
  const int64_t n = a.descriptors.images, m = b.descriptors.images;
  std::vector<float> expected(static_cast<size_t>(n * m)), got(expected.size(), NAN);
  match_kernel(a.descriptors, b.descriptors, depth, expected.data(), serial());
  cuda::match_kernel(a.descriptors, b.descriptors, depth, got.data(), scratch.workspace(), nullptr);
  check_bits(got, expected, "match_kernel");
  std::vector<int64_t> pairs;
  for (int64_t i = n - 1; i >= 0; --i)
    for (int64_t j = 0; j < m; ++j) pairs.insert(pairs.end(), {i, j});
  match_kernel_pairs(a.descriptors, b.descriptors, pairs.data(), n * m, depth, expected.data(), serial());
  cuda::match_kernel_pairs(a.descriptors, b.descriptors, pairs.data(), n * m, depth, got.data(),
                           scratch.workspace(), nullptr);
  check_bits(got, expected, "match_kernel, pairs");

  std::vector<int64_t> offsets(static_cast<size_t>(n * m + 1));
  cuda::mutual_matches_offsets(a.descriptors, b.descriptors, pairs.data(), n * m, depth, 0.98f,
                               offsets.data(), scratch.workspace(), nullptr);
  std::vector<int32_t> matches(static_cast<size_t>(2 * offsets.back()));
  std::vector<float> ratios(matches.size());
  cuda::mutual_matches_fill(a.descriptors, b.descriptors, pairs.data(), n * m, depth, 0.98f, offsets.data(),
                            matches.data(), ratios.data(), scratch.workspace(), nullptr);
  struct Got {
    const std::vector<int64_t>& offsets;
    const std::vector<int32_t>& matches;
    const std::vector<float>& ratios;
  } context{offsets, matches, ratios};
  auto receive = [](void* all, int64_t pair, int64_t count, const int32_t* expected_matches,
                    const float* expected_ratios) {
    const Got& found = *static_cast<Got*>(all);
    const int64_t begin = found.offsets[static_cast<size_t>(pair)];
    CHECK_SAY(found.offsets[static_cast<size_t>(pair) + 1] - begin == count, "matches of a pair");
    CHECK_SAY(std::equal(expected_matches, expected_matches + 2 * count, found.matches.begin() + 2 * begin),
              "matches");
    CHECK_SAY(std::equal(expected_ratios, expected_ratios + 2 * count, found.ratios.begin() + 2 * begin),
              "ratios");
  };
  mutual_matches(a.descriptors, b.descriptors, pairs.data(), n * m, depth, 0.98f, {receive, &context},
                 serial());
}

void test_match_self(const Photos& a) {
  Scratch scratch(cuda::match_kernel_workspace(a.descriptors, a.descriptors, -1));
  std::vector<float> expected(static_cast<size_t>(a.descriptors.images * a.descriptors.images)),
      got(expected.size(), NAN);
  match_kernel_self(a.descriptors, -1, expected.data(), serial());
  cuda::match_kernel_self(a.descriptors, -1, got.data(), scratch.workspace(), nullptr);
  check_bits(got, expected, "match_kernel, self");
}

// ---- pr_mac ---------------------------------------------------------------------------------------------------------

struct Images {
  std::vector<uint4> memory;
  std::vector<int32_t> sizes;
  Regions regions;

  // shift: how many elements the data begin beyond a multiple of 16 bytes
  Images(int64_t images, int64_t capacity, int64_t channels, Scalar scalar, int smallest, int shift = 0) {
    const size_t bytes = scalar == Scalar::kFloat32 ? 4 : 2,
                 count = static_cast<size_t>(images * capacity * channels);
    memory.resize((count + static_cast<size_t>(shift)) * bytes / 16 + 1);
    unsigned char* const data =
        reinterpret_cast<unsigned char*>(memory.data()) + static_cast<size_t>(shift) * bytes;
    std::normal_distribution<float> normal(0.0f, 1.0f / std::sqrt(static_cast<float>(channels)));
    for (size_t i = 0; i < count; ++i) {
      const float value = normal(random_engine);
      if (scalar == Scalar::kFloat32) std::memcpy(data + 4 * i, &value, 4);
      const uint16_t half =
          scalar == Scalar::kBFloat16 ? cuda::Convert<cuda::BFloat16>::from(value).bits : half_of(value);
      if (scalar != Scalar::kFloat32) std::memcpy(data + 2 * i, &half, 2);
    }
    for (int64_t i = 0; i < images; ++i)
      sizes.push_back(
          uniform(std::min<int>(smallest, static_cast<int>(capacity)), static_cast<int>(capacity)));
    regions = {data, sizes.data(), images, capacity, channels, scalar};
  }
  static uint16_t half_of(float x) {  // rounded towards zero, subnormals to zero
    const uint32_t bits = cuda::bits_of(x);
    const int exponent = static_cast<int>(bits >> 23 & 255) - 112;
    return static_cast<uint16_t>(
        (bits >> 16 & 0x8000) |
        (exponent <= 0 ? 0 : static_cast<uint32_t>(exponent) << 10 | (bits >> 13 & 1023)));
  }
};

constexpr Reduction kReductions[] = {Reduction::kCosine,   Reduction::kSqEuclid, Reduction::kEuclidSum,
                                     Reduction::kEuclidL2, Reduction::kBest,     Reduction::kHausdorff};

void check_close(const std::vector<float>& got, const std::vector<float>& expected, float tolerance,
                 const char* what) {
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK_SAY(
        got[i] == expected[i] || std::fabs(got[i] - expected[i]) <= tolerance * (1 + std::fabs(expected[i])),
        "%s, %zu: expected %.9g, got %.9g", what, i, expected[i], got[i]);
}

void test_pr_mac(const Images& query, const Images& target, Precision precision, bool with_argmax,
                 float tolerance) {
  for (Reduction reduction : kReductions) {
    const size_t pairs = static_cast<size_t>(query.regions.images * target.regions.images),
                 all = with_argmax ? pairs * static_cast<size_t>(query.regions.capacity) : 0;
    std::vector<float> expected(pairs), got(pairs, NAN);
    std::vector<int32_t> expected_argmax(all), argmax(all, -9);
    pr_mac(query.regions, target.regions, reduction, precision, expected.data(),
           with_argmax ? expected_argmax.data() : nullptr, serial());
    Scratch scratch(cuda::pr_mac_workspace(query.regions, target.regions, precision, with_argmax));
    cuda::pr_mac(query.regions, target.regions, reduction, precision, got.data(),
                 with_argmax ? argmax.data() : nullptr, scratch.workspace(), nullptr);
    check_close(got, expected, tolerance, "pr_mac");
    // float32 sums as AVX2 and AVX-512 do; the portable CPU code rounds once more in every step.
    const bool chains = query.regions.scalar == Scalar::kFloat32 && precision == Precision::kExact;
    if (chains && isa_selected() != Isa::kPortable) check_bits(got, expected, "pr_mac, bits");
    CHECK_SAY(argmax == expected_argmax, "argmax, reduction %d", static_cast<int>(reduction));
  }
}

void test_pr_mac_self(const Images& images, float tolerance) {
  for (Reduction reduction : {Reduction::kCosine, Reduction::kEuclidSum}) {
    const size_t pairs = static_cast<size_t>(images.regions.images * images.regions.images);
    std::vector<float> expected(pairs), got(pairs, NAN);
    pr_mac(images.regions, images.regions, reduction, Precision::kExact, expected.data(), nullptr, serial());
    Scratch scratch(cuda::pr_mac_workspace(images.regions, images.regions, Precision::kExact, false));
    cuda::pr_mac_self(images.regions, reduction, Precision::kExact, got.data(), nullptr, scratch.workspace(),
                      nullptr);
    check_close(got, expected, tolerance, "pr_mac, self");
  }
}

void test_topk(const Images& query, const Images* target, Reduction reduction, TopKOptions options,
               float tolerance) {
  const Regions& targets = target != nullptr ? target->regions : query.regions;
  const size_t entries = static_cast<size_t>(query.regions.images * options.k);
  std::vector<float> expected(entries), got(entries, NAN);
  std::vector<int64_t> expected_indices(entries), indices(entries, -9);
  TopKOptions exact = options;
  exact.precision = Precision::kExact;
  pr_mac_topk(query.regions, targets, reduction, exact, expected.data(), expected_indices.data(), serial());
  Scratch scratch(cuda::pr_mac_topk_workspace(query.regions, targets, options));
  if (target != nullptr)
    cuda::pr_mac_topk(query.regions, targets, reduction, options, got.data(), indices.data(),
                      scratch.workspace(), nullptr);
  else
    cuda::pr_mac_topk_self(query.regions, reduction, options, got.data(), indices.data(), scratch.workspace(),
                           nullptr);
  check_close(got, expected, tolerance, "top-k");
  for (size_t i = 0; i < entries; ++i) {
    const bool alone = (i == 0 || std::fabs(expected[i] - expected[i - 1]) > 4 * tolerance) &&
                       (i + 1 >= entries || std::fabs(expected[i] - expected[i + 1]) > 4 * tolerance);
    CHECK_SAY(indices[i] == expected_indices[i] || !(alone || expected_indices[i] < 0),
              "top-k, %zu: expected index %d, got %d", i, static_cast<int>(expected_indices[i]),
              static_cast<int>(indices[i]));
  }
}

// Ties: all images alike, so the lists are the lowest indices.
void test_topk_ties(bool self) {
  Images images(150, 2, 8, Scalar::kFloat32, 2);
  float* const data = static_cast<float*>(const_cast<void*>(images.regions.data));
  for (int64_t i = 1; i < 150; ++i) std::copy_n(data, 16, data + 16 * i);
  std::vector<float> values(150 * 70);
  std::vector<int64_t> indices(values.size());
  TopKOptions options;
  options.k = 70;
  Scratch scratch(cuda::pr_mac_topk_workspace(images.regions, images.regions, options));
  if (self)
    cuda::pr_mac_topk_self(images.regions, Reduction::kCosine, options, values.data(), indices.data(),
                           scratch.workspace(), nullptr);
  else
    cuda::pr_mac_topk(images.regions, images.regions, Reduction::kCosine, options, values.data(),
                      indices.data(), scratch.workspace(), nullptr);
  for (size_t i = 0; i < indices.size(); ++i)
    CHECK_SAY(indices[i] == static_cast<int64_t>(i % 70), "tie %zu: got %d", i, static_cast<int>(indices[i]));
}

void test_rerank(const Images& query, const Images& target, float tolerance) {
  for (Reduction reduction : kReductions) {
    constexpr int64_t kCount = 11;
    std::vector<int64_t> candidates;
    for (int64_t i = 0; i < query.regions.images * kCount; ++i)
      candidates.push_back(uniform(-1, static_cast<int>(target.regions.images) - 1));
    std::vector<float> expected(candidates.size()), got(candidates.size(), NAN);
    pr_mac_rerank(query.regions, target.regions, candidates.data(), kCount, reduction, expected.data(),
                  serial());
    Scratch scratch(cuda::pr_mac_rerank_workspace(query.regions, target.regions));
    cuda::pr_mac_rerank(query.regions, target.regions, candidates.data(), kCount, reduction, got.data(),
                        scratch.workspace(), nullptr);
    check_close(got, expected, tolerance, "rerank");
  }
}

// Re-ranking all targets gives the very bits of all pairs.
void test_rerank_bits(const Images& query, const Images& target) {
  for (Reduction reduction : kReductions) {
    std::vector<int64_t> candidates;
    for (int64_t q = 0; q < query.regions.images; ++q)
      for (int64_t t = 0; t < target.regions.images; ++t) candidates.push_back(t);
    std::vector<float> all(candidates.size()), listed(candidates.size(), NAN);
    Scratch scratch(cuda::pr_mac_workspace(query.regions, target.regions, Precision::kExact, false));
    cuda::pr_mac(query.regions, target.regions, reduction, Precision::kExact, all.data(), nullptr,
                 scratch.workspace(), nullptr);
    cuda::pr_mac_rerank(query.regions, target.regions, candidates.data(), target.regions.images, reduction,
                        listed.data(), scratch.workspace(), nullptr);
    check_bits(listed, all, "rerank against all pairs");
  }
}

void test_backward(const Images& query, const Images& target, float tolerance) {
  for (Reduction reduction : kReductions) {
    const size_t pairs = static_cast<size_t>(query.regions.images * target.regions.images);
    auto elements = [](const Images& x) {
      return static_cast<size_t>(x.regions.images * x.regions.capacity * x.regions.channels);
    };
    std::vector<float> scores(pairs), grad(pairs), expected_q(elements(query)), expected_t(elements(target)),
        got_q(elements(query), NAN), got_t(elements(target), NAN);
    std::vector<int32_t> argmax(pairs * static_cast<size_t>(query.regions.capacity));
    for (float& g : grad) g = static_cast<float>(uniform(-4, 4)) / 4;
    pr_mac(query.regions, target.regions, reduction, Precision::kExact, scores.data(), argmax.data(),
           serial());
    pr_mac_backward(query.regions, target.regions, reduction, grad.data(), scores.data(), argmax.data(),
                    expected_q.data(), expected_t.data(), serial());
    Scratch scratch(cuda::pr_mac_backward_workspace(query.regions, target.regions));
    cuda::pr_mac_backward(query.regions, target.regions, reduction, grad.data(), scores.data(), argmax.data(),
                          got_q.data(), got_t.data(), scratch.workspace(), nullptr);
    check_close(got_q, expected_q, tolerance, "gradient of query");
    check_close(got_t, expected_t, tolerance, "gradient of target");
  }
}

// ---- similarity support ---------------------------------------------------------------------------------------------

void test_support() {
  constexpr int64_t kImages = 4, kCapacity = 60, kPairs = 6;
  std::vector<float> a, b, diagonals(kImages, 500.0f), ratios;
  for (int64_t i = 0; i < kImages * kCapacity; ++i) {
    const float x = static_cast<float>(uniform(0, 300)), y = static_cast<float>(uniform(0, 400));
    a.insert(a.end(), {x, y, 2.0f, static_cast<float>(uniform(-300, 300))});
    const bool follows = uniform(0, 2) > 0;  // a turn by 90 degrees, half the size
    b.insert(b.end(),
             {follows ? -y / 2 : x, follows ? x / 2 : y, follows ? 1.0f : static_cast<float>(uniform(0, 3)),
              a.back() + 90 + static_cast<float>(uniform(-9, 9))});
  }
  a[2] = NAN, a[6] = 0.0f, b[11] = INFINITY;
  std::vector<int64_t> pairs, offsets{0};
  std::vector<int32_t> matches;
  for (int64_t pair = 0; pair < kPairs; ++pair) {
    pairs.insert(pairs.end(), {pair % kImages, (pair * 3) % kImages});
    const int count = pair < 3 ? static_cast<int>(pair) : uniform(20, static_cast<int>(kCapacity));
    for (int m = 0; m < count; ++m) {
      const int row = uniform(0, static_cast<int>(kCapacity) - 1);
      matches.insert(matches.end(), {row, row});
      ratios.insert(ratios.end(),
                    {static_cast<float>(uniform(1, 110)) / 100, static_cast<float>(uniform(1, 110)) / 100});
    }
    offsets.push_back(offsets.back() + count);
  }
  const Keypoints first{a.data(), diagonals.data(), kImages, kCapacity},
      second{b.data(), diagonals.data(), kImages, kCapacity};
  const size_t total = static_cast<size_t>(offsets.back());
  std::vector<float> expected(kPairs), got(kPairs, NAN);
  std::vector<uint8_t> expected_good(total), good(total, 9);
  similarity_support(first, second, pairs.data(), kPairs, matches.data(), ratios.data(), offsets.data(), {},
                     expected.data(), expected_good.data(), serial());
  Scratch scratch(cuda::similarity_support_workspace(offsets.back()));
  cuda::similarity_support(first, second, pairs.data(), kPairs, matches.data(), ratios.data(), offsets.data(),
                           offsets.back(), {}, got.data(), good.data(), scratch.workspace(), nullptr);
  check_bits(got, expected, "evidence");
  CHECK_SAY(good == expected_good, "good matches");
  CHECK_SAY(std::count(good.begin(), good.end(), 1) > 10, "some matches are good");
}

void test_match_kernel() {
  test_match(Photos(3, 70, 127), Photos(4, 90, 127), -1);
  test_match(Photos(2, 300, 1), Photos(2, 280, 1), 270);
  test_match(Photos(0, 10, 127), Photos(2, 10, 127), -1);
  test_match(Photos(2, 0, 127), Photos(2, 10, 127), -1);
  test_match(Photos(2, 20, 127), Photos(1, 2200, 3), -1);  // state in global memory
  test_match_self(Photos(5, 33, 127));
}

void test_pr_mac() {
  const Images query(33, 5, 70, Scalar::kFloat32, 0), target(40, 6, 70, Scalar::kFloat32, 0, 1);
  test_pr_mac(query, target, Precision::kExact, false, 2e-6f);
  test_pr_mac(query, target, Precision::kExact, true, 2e-6f);
  test_pr_mac(query, target, Precision::kBf16, false, 3e-5f);
  test_pr_mac_self(target, 2e-6f);
  test_pr_mac(Images(0, 5, 70, Scalar::kFloat32, 0), target, Precision::kExact, true, 0);
  test_pr_mac(query, Images(2, 0, 70, Scalar::kFloat32, 0), Precision::kExact, true, 0);
  test_pr_mac(Images(3, 2, 0, Scalar::kFloat32, 0), Images(2, 2, 0, Scalar::kFloat32, 0), Precision::kExact,
              true, 0);
  const Images half_query(5, 6, 128, Scalar::kFloat16, 0), half_target(40, 9, 128, Scalar::kFloat16, 0);
  test_pr_mac(half_query, half_target, Precision::kExact, false, 3e-5f);
  test_pr_mac(half_query, half_target, Precision::kExact, true, 2e-6f);
  test_pr_mac(Images(3, 3, 50, Scalar::kBFloat16, 0), Images(4, 20, 50, Scalar::kBFloat16, 0),
              Precision::kExact, false, 3e-5f);
  for (int limit : {100, 164, 228}) {  // every use of shared memory
    emulator::device().shared_limit = limit * 1024;
    test_pr_mac_self(target, 2e-6f);
    test_pr_mac_self(half_target, 3e-5f);
  }
}

void test_lists() {
  const Images query(70, 3, 40, Scalar::kFloat32, 1), target(100, 4, 40, Scalar::kFloat32, 0);
  TopKOptions options;
  options.margin = 20;
  for (int64_t k : {1, 10, 150}) {
    options.k = k;
    options.precision = Precision::kExact;
    test_topk(query, &target, Reduction::kCosine, options, 2e-6f);
    test_topk(target, nullptr, Reduction::kHausdorff, options, 2e-6f);
  }
  options.k = 10;
  options.precision = Precision::kBf16;
  test_topk(query, &target, Reduction::kEuclidSum, options, 2e-6f);
  test_topk(target, nullptr, Reduction::kCosine, options, 2e-6f);
  options.certified = true;
  test_topk(query, &target, Reduction::kCosine, options, 2e-6f);
  test_topk_ties(false);
  test_topk_ties(true);
}

void test_candidates() {
  test_rerank(Images(3, 5, 70, Scalar::kFloat32, 0), Images(9, 6, 70, Scalar::kFloat32, 0), 2e-6f);
  test_rerank(Images(2, 45, 32, Scalar::kFloat32, 0), Images(5, 40, 32, Scalar::kFloat32, 0), 2e-6f);
  test_rerank(Images(2, 35, 40, Scalar::kBFloat16, 0), Images(5, 9, 40, Scalar::kBFloat16, 0), 2e-6f);
  test_rerank_bits(Images(2, 45, 32, Scalar::kFloat32, 0), Images(5, 40, 32, Scalar::kFloat32, 0));
  test_rerank_bits(Images(2, 4, 32, Scalar::kFloat32, 0), Images(5, 8, 32, Scalar::kFloat32, 0));
}

void test_gradient() {
  test_backward(Images(4, 5, 70, Scalar::kFloat32, 0), Images(3, 6, 70, Scalar::kFloat32, 0), 1e-6f);
  test_backward(Images(2, 40, 7, Scalar::kFloat32, 0), Images(2, 33, 7, Scalar::kFloat32, 33), 1e-6f);
  Images same(3, 4, 9, Scalar::kFloat32, 4);
  test_backward(same, same, 1e-6f);
}

}  // namespace

int main() {
  test_match_kernel();
  test_pr_mac();
  test_lists();
  test_candidates();
  test_gradient();
  test_support();
  return check::result();
}
