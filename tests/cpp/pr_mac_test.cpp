// pr_mac against a naive double implementation and the golden numbers, on every instruction set of this machine, and
// the promises of the contract bit by bit: threads, self-join, top-k and re-ranking.
#include "mirror/pr_mac.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "core/pr_mac_join.h"

using namespace mirror;

#if MIRROR_X86
namespace mirror {
namespace prmac {
extern const Kernel<float> kAmxBf16Emulated;
}
}  // namespace mirror
#endif

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr Reduction kReductions[] = {Reduction::kCosine,   Reduction::kSqEuclid, Reduction::kEuclidSum,
                                     Reduction::kEuclidL2, Reduction::kBest,     Reduction::kHausdorff};

uint32_t to_bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

// Images of regions in every storage type; all types hold the same numbers as `values` where those are bfloat16.
struct Set {
  int64_t images, capacity, channels;
  std::vector<int32_t> sizes;  // empty: all full
  std::vector<double> values;
  std::vector<float> f32;
  std::vector<uint16_t> bf16, fp16;

  int64_t size(int64_t i) const { return sizes.empty() ? capacity : sizes[i]; }
  const double* row(int64_t i, int64_t r) const { return values.data() + (i * capacity + r) * channels; }
  Regions view(Scalar scalar) const {
    const void* data = scalar == Scalar::kFloat64    ? static_cast<const void*>(values.data())
                       : scalar == Scalar::kFloat32  ? static_cast<const void*>(f32.data())
                       : scalar == Scalar::kBFloat16 ? static_cast<const void*>(bf16.data())
                                                     : static_cast<const void*>(fp16.data());
    return {data, sizes.empty() ? nullptr : sizes.data(), images, capacity, channels, scalar};
  }
  void store() {
    f32.assign(values.begin(), values.end());
    values.assign(f32.begin(), f32.end());  // tests compare what was stored
  }
};

enum class Shape { kUnit, kFree, kSmallIntegers };

// Unit vectors around a few centres, like descriptors; free vectors of any norm; or small integers, which make ties
// and are exact in every storage type.
Set random_set(check::Random& random, int64_t images, int64_t capacity, int64_t channels, bool ragged,
               Shape shape) {
  Set set{images, capacity, channels, {}, {}, {}, {}, {}};
  set.values.resize(images * capacity * channels);
  if (ragged)
    for (int64_t i = 0; i < images; ++i)
      set.sizes.push_back(static_cast<int32_t>(i % 5 == 3 ? 0 : random.below(capacity + 1)));
  for (int64_t row = 0; row < images * capacity; ++row) {
    double* x = set.values.data() + row * channels;
    check::Random centre(static_cast<uint64_t>(1000 + random.below(6)));
    double norm = 0;
    for (int64_t c = 0; c < channels; ++c) {
      x[c] = shape == Shape::kSmallIntegers ? static_cast<double>(random.below(5)) - 2
                                            : centre.normal() + random.normal();
      norm += x[c] * x[c];
    }
    const double scale = shape == Shape::kUnit   ? 1 / std::sqrt(norm + 1e-30)
                         : shape == Shape::kFree ? 0.3 * (1 + row % 4)
                                                 : 1;
    for (int64_t c = 0; c < channels; ++c) x[c] *= scale;
  }
  set.store();
  if (shape == Shape::kSmallIntegers)
    for (double v : set.values) {
      const float f = static_cast<float>(v);
      set.bf16.push_back(static_cast<uint16_t>(to_bits(f) >> 16));
      const uint16_t half = f == 0 ? 0 : std::abs(f) == 1 ? 0x3c00 : 0x4000;  // 0, 1, 2
      set.fp16.push_back(static_cast<uint16_t>(half | (f < 0 ? 0x8000 : 0)));
    }
  // What lies beyond an image's size must never be read into a result.
  for (int64_t i = 0; i < images; ++i)
    for (int64_t k = (i * capacity + set.size(i)) * channels; k < (i + 1) * capacity * channels; ++k) {
      set.f32[k] = std::numeric_limits<float>::quiet_NaN();
      set.values[k] = std::numeric_limits<double>::quiet_NaN();
    }
  return set;
}

// ---- the executable definition --------------------------------------------------------------------------------------
double naive_score(const Set& a, int64_t q, const Set& b, int64_t t, Reduction reduction,
                   int32_t* argmax = nullptr) {
  const bool similar = reduction == Reduction::kCosine || reduction == Reduction::kBest;
  double sum = 0, most = -kInf;
  for (int64_t i = 0; i < a.size(q); ++i) {
    double best = similar ? -kInf : kInf;
    if (argmax) argmax[i] = -1;
    for (int64_t j = 0; j < b.size(t); ++j) {
      double value = 0;
      for (int64_t c = 0; c < a.channels; ++c) {
        const double x = a.row(q, i)[c], y = b.row(t, j)[c];
        value += similar ? x * y : (x - y) * (x - y);
      }
      if (similar ? value > best : value < best) {
        best = value;
        if (argmax) argmax[i] = static_cast<int32_t>(j);
      }
    }
    sum += reduction == Reduction::kEuclidSum ? std::sqrt(best) : best;
    most = std::max(most, best);
  }
  if (a.size(q) == 0) return 0;
  switch (reduction) {
    case Reduction::kCosine:
      return sum / static_cast<double>(a.size(q));
    case Reduction::kEuclidL2:
      return std::sqrt(sum);
    case Reduction::kBest:
      return most;
    case Reduction::kHausdorff:
      return std::sqrt(most);
    default:
      return sum;
  }
}

std::vector<float> all_pairs(const Regions& q, const Regions& t, Reduction reduction,
                             Parallel parallel = serial(), Precision precision = Precision::kExact,
                             int32_t* argmax = nullptr) {
  std::vector<float> scores(q.images * t.images, -123.f);
  pr_mac(q, t, reduction, precision, scores.data(), argmax, parallel);
  return scores;
}

std::vector<float> self_join(const Regions& x, Reduction reduction, Parallel parallel = serial(),
                             Precision precision = Precision::kExact) {
  std::vector<float> scores(x.images * x.images, -123.f);
  pr_mac_self(x, reduction, precision, scores.data(), nullptr, parallel);
  return scores;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return to_bits(x) == to_bits(y); });
}

struct Ranking {
  std::vector<float> values;
  std::vector<int64_t> indices;
};

// Sorted rows of a score matrix, padded as the contract says.
Ranking sorted(const std::vector<float>& scores, int64_t queries, int64_t targets, int64_t k,
               Reduction reduction) {
  const bool higher = higher_is_closer(reduction);
  Ranking out;
  for (int64_t q = 0; q < queries; ++q) {
    const float* row = scores.data() + q * targets;
    std::vector<int64_t> order(targets);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return higher ? row[a] > row[b] : row[a] < row[b]; });
    for (int64_t i = 0; i < k; ++i) {
      out.indices.push_back(i < targets ? order[i] : -1);
      out.values.push_back(i < targets ? row[order[i]] : higher ? -INFINITY : INFINITY);
    }
  }
  return out;
}

Ranking top_k(const Regions& q, const Regions& t, bool self, Reduction reduction, const TopKOptions& options,
              Parallel parallel = serial()) {
  Ranking out{std::vector<float>(q.images * options.k), std::vector<int64_t>(q.images * options.k)};
  if (self)
    pr_mac_topk_self(q, reduction, options, out.values.data(), out.indices.data(), parallel);
  else
    pr_mac_topk(q, t, reduction, options, out.values.data(), out.indices.data(), parallel);
  return out;
}

void check_ranking(const Ranking& a, const Ranking& b) {
  CHECK(same_bits(a.values, b.values));
  CHECK(a.indices == b.indices);
}

// ---- tests ----------------------------------------------------------------------------------------------------------
void test_golden() {
  const double degree = std::acos(-1.0) / 180;
  auto circle = [&](std::vector<double> angles) {
    Set set{1, static_cast<int64_t>(angles.size()), 2, {}, {}, {}, {}, {}};
    for (double a : angles) set.values.insert(set.values.end(), {std::cos(a * degree), std::sin(a * degree)});
    set.f32.assign(set.values.begin(), set.values.end());
    return set;
  };
  auto plain = [](std::vector<double> rows) {
    Set set{1, static_cast<int64_t>(rows.size() / 2), 2, {}, rows, {}, {}, {}};
    set.f32.assign(rows.begin(), rows.end());
    return set;
  };
  auto expect = [](const Set& a, const Set& b, Reduction reduction, double expected) {
    double f64;
    pr_mac(a.view(Scalar::kFloat64), b.view(Scalar::kFloat64), reduction, Precision::kExact, &f64, nullptr,
           serial());
    CHECK_NEAR(f64, expected, 1e-9);
    CHECK_NEAR(all_pairs(a.view(Scalar::kFloat32), b.view(Scalar::kFloat32), reduction)[0], expected, 1e-5);
  };
  const Set q = circle({0, 30, 90}), t = circle({10, 80});
  expect(q, t, Reduction::kEuclidSum, 0.6959193263244933);
  expect(q, t, Reduction::kEuclidL2, 0.42589170733808723);
  expect(q, t, Reduction::kSqEuclid, 0.18138374637935092);
  expect(q, t, Reduction::kCosine, 0.9697693756034416);
  expect(q, t, Reduction::kBest, 0.984807753012208);
  expect(q, t, Reduction::kHausdorff, 0.3472963553338606);
  expect(t, q, Reduction::kEuclidSum, 0.34862297099063266);
  expect(t, q, Reduction::kEuclidL2, 0.2465136668648774);
  expect(t, q, Reduction::kSqEuclid, 0.060768987951167766);
  expect(t, q, Reduction::kCosine, 0.984807753012208);
  expect(t, q, Reduction::kHausdorff, 0.17431148549531636);
  const Set qn = plain({1, 0, 2, 2, 0, 3}), tn = plain({1.5, 0.5, 0, 1, 4, 1, 2, 1});
  expect(qn, tn, Reduction::kEuclidSum, 3.7071067811865475);
  expect(qn, tn, Reduction::kEuclidL2, 2.345207879911715);
  expect(qn, tn, Reduction::kSqEuclid, 5.5);
  expect(tn, qn, Reduction::kEuclidSum, 5.357388321059433);
  expect(tn, qn, Reduction::kEuclidL2, 2.9154759474226504);
  expect(tn, qn, Reduction::kSqEuclid, 8.5);
  const Set o = circle({0, 90}), a = circle({0, 150}), b = circle({33, 123});
  expect(o, a, Reduction::kEuclidSum, 1.0);
  expect(o, b, Reduction::kEuclidSum, 1.1360613788156906);
  expect(o, a, Reduction::kCosine, 0.75);
  expect(o, b, Reduction::kCosine, 0.838670567945424);
  expect(o, b, Reduction::kHausdorff, 0.5680306894078454);
}

// Scores, indices and float64 against the definition.
void test_against_naive(const Set& a, const Set& b, Shape shape) {
  const double scale = shape == Shape::kUnit ? 1 : static_cast<double>(a.channels);
  for (Reduction reduction : kReductions) {
    const bool exact_ties = shape == Shape::kSmallIntegers;
    std::vector<int32_t> argmax(a.images * b.images * a.capacity, -7), expected(a.capacity);
    const Regions fa = a.view(Scalar::kFloat32), fb = b.view(Scalar::kFloat32);
    const std::vector<float> scores =
        all_pairs(fa, fb, reduction, serial(), Precision::kExact, argmax.data());
    CHECK(same_bits(scores, all_pairs(fa, fb, reduction)));
    std::vector<double> wide(scores.size());
    pr_mac(a.view(Scalar::kFloat64), b.view(Scalar::kFloat64), reduction, Precision::kExact, wide.data(),
           nullptr, serial());
    for (int64_t q = 0; q < a.images; ++q)
      for (int64_t t = 0; t < b.images; ++t) {
        std::fill(expected.begin(), expected.end(), -1);
        const double score = naive_score(a, q, b, t, reduction, expected.data());
        const double terms = higher_is_closer(reduction) ? 1 : static_cast<double>(a.capacity);
        CHECK_NEAR(scores[q * b.images + t], score, 4e-6 * scale * terms);
        CHECK_NEAR(wide[q * b.images + t], score, 1e-13 * scale * terms);
        for (int64_t i = 0; i < a.capacity; ++i) {
          const int32_t got = argmax[(q * b.images + t) * a.capacity + i];
          const bool none = i >= a.size(q) || b.size(t) == 0;
          if (exact_ties || none) CHECK_EQ(got, none ? -1 : expected[i]);
          CHECK(none || (got >= 0 && got < b.size(t)));
        }
      }
  }
}

void test_promises(const Set& a, const Set& b) {
  const Regions fa = a.view(Scalar::kFloat32), fb = b.view(Scalar::kFloat32);
  for (Reduction reduction : kReductions) {
    const std::vector<float> scores = all_pairs(fa, fb, reduction), square = all_pairs(fa, fa, reduction);
    CHECK(same_bits(self_join(fa, reduction), square));
    for (int count : reduction == Reduction::kCosine ? std::vector<int>{2, 4, 5} : std::vector<int>{4}) {
      CHECK(same_bits(all_pairs(fa, fb, reduction, threads(count)), scores));
      CHECK(same_bits(self_join(fa, reduction, threads(count)), square));
    }
    std::vector<int64_t> candidates;
    std::vector<float> expected;
    check::Random random(5);
    const int64_t count = 7;
    for (int64_t q = 0; q < a.images; ++q)
      for (int64_t i = 0; i < count; ++i) {
        const int64_t t = b.images == 0 ? -1 : random.below(b.images + 1) - 1;
        candidates.push_back(t);
        expected.push_back(t >= 0                        ? scores[q * b.images + t]
                           : higher_is_closer(reduction) ? -INFINITY
                                                         : INFINITY);
      }
    std::vector<float> reranked(expected.size());
    for (int threads_count : {1, 3}) {
      pr_mac_rerank(fa, fb, candidates.data(), count, reduction, reranked.data(), threads(threads_count));
      CHECK(same_bits(reranked, expected));
    }
    for (int64_t k : {int64_t(0), int64_t(1), int64_t(6), b.images + 3}) {
      TopKOptions options;
      options.k = k;
      for (int threads_count :
           reduction == Reduction::kCosine ? std::vector<int>{1, 2, 5} : std::vector<int>{3}) {
        check_ranking(top_k(fa, fb, false, reduction, options, threads(threads_count)),
                      sorted(scores, a.images, b.images, k, reduction));
        check_ranking(top_k(fa, fa, true, reduction, options, threads(threads_count)),
                      sorted(square, a.images, a.images, k, reduction));
      }
    }
  }
}

// The same small integers in every storage type give the same scores.
void test_storage() {
  check::Random random(11);
  const Set a = random_set(random, 5, 7, 19, true, Shape::kSmallIntegers);
  const Set b = random_set(random, 6, 4, 19, true, Shape::kSmallIntegers);
  for (Reduction reduction : kReductions) {
    const std::vector<float> scores =
        all_pairs(a.view(Scalar::kFloat32), b.view(Scalar::kFloat32), reduction);
    std::vector<int64_t> candidates(a.images * b.images);
    for (size_t i = 0; i < candidates.size(); ++i) candidates[i] = static_cast<int64_t>(i) % b.images;
    for (Scalar scalar : {Scalar::kBFloat16, Scalar::kFloat16}) {
      const Regions qa = a.view(scalar), tb = b.view(scalar);
      CHECK(same_bits(all_pairs(qa, tb, reduction), scores));
      CHECK(same_bits(all_pairs(qa, tb, reduction, serial(), Precision::kBf16), scores));
      std::vector<float> reranked(scores.size());
      pr_mac_rerank(qa, tb, candidates.data(), b.images, reduction, reranked.data(), serial());
      CHECK(same_bits(reranked, scores));
    }
  }
  // All finite float16 numbers widen as arithmetic says.
  for (int sign : {0, 1})
    for (int bits = 0; bits < 0x7c00; bits += bits < 0x900 ? 1 : 37) {  // all subnormals and some of the rest
      const int exponent = bits >> 10, mantissa = bits & 1023;
      const double value = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
      const uint16_t half = static_cast<uint16_t>(bits | sign << 15), one = 0x3c00;
      const Regions x{&half, nullptr, 1, 1, 1, Scalar::kFloat16}, y{&one, nullptr, 1, 1, 1, Scalar::kFloat16};
      CHECK_EQ(all_pairs(x, y, Reduction::kCosine)[0], static_cast<float>(sign ? -value : value));
    }
}

// bfloat16 products are close, and top-k with re-scoring is exact where the margin is sufficient or certified.
void test_bf16(const Set& a, const Set& b, Shape shape) {
  const Regions fa = a.view(Scalar::kFloat32), fb = b.view(Scalar::kFloat32);
  for (Reduction reduction : kReductions) {
    const std::vector<float> scores = all_pairs(fa, fb, reduction), square = all_pairs(fa, fa, reduction);
    const std::vector<float> rough = all_pairs(fa, fb, reduction, serial(), Precision::kBf16);
    const std::vector<float> rough_square = all_pairs(fa, fa, reduction, serial(), Precision::kBf16);
    CHECK(same_bits(all_pairs(fa, fb, reduction, threads(4), Precision::kBf16), rough));
    CHECK(same_bits(self_join(fa, reduction, threads(3), Precision::kBf16), rough_square));
    if (shape == Shape::kUnit)
      for (size_t i = 0; i < scores.size(); ++i) {
        // A distance moves by at most |q - q16| + |t - t16| <= 2^-8 for unit vectors.
        const double regions = static_cast<double>(a.capacity);
        const double bound = reduction == Reduction::kSqEuclid ? regions * 4 * 0x1p-8
                             : higher_is_closer(reduction)     ? 1.01 * 0x1p-8
                                                               : regions * 0x1p-8;
        // Means over many regions of many channels are far better than that.
        const bool many =
            a.sizes.empty() && a.capacity * a.channels >= 4096 && reduction == Reduction::kCosine;
        const double tolerance = many ? 5e-4 : bound;
        CHECK_NEAR(rough[i], scores[i], tolerance);
      }
    for (bool certified : {false, true}) {
      TopKOptions options;
      options.k = 3;
      options.precision = Precision::kBf16;
      options.certified = certified;
      options.margin = certified ? 0 : 24;
      check_ranking(top_k(fa, fb, false, reduction, options, threads(2)),
                    sorted(scores, a.images, b.images, 3, reduction));
      check_ranking(top_k(fa, fa, true, reduction, options, threads(2)),
                    sorted(square, a.images, a.images, 3, reduction));
    }
  }
}

// Many near ties: the bfloat16 order is wrong nearly everywhere, and certified must not care; nor about regions of NaN.
void test_certified_near_ties(bool some_nan) {
  check::Random random(77);
  Set b = random_set(random, 200, 3, 40, some_nan, Shape::kUnit);
  for (int64_t i = 1; i < b.images; ++i)
    for (int64_t k = 0; k < b.capacity * b.channels; ++k)
      b.f32[i * b.capacity * b.channels + k] = static_cast<float>(b.f32[k] + 1e-5 * random.normal());
  b.sizes.assign(b.images, 3);
  const Set a = random_set(random, 9, 5, 40, true, Shape::kFree);
  const Regions fa = a.view(Scalar::kFloat32), fb = b.view(Scalar::kFloat32);
  for (Reduction reduction : kReductions) {
    TopKOptions options;
    options.k = 10;
    options.precision = Precision::kBf16;
    options.certified = true;
    options.margin = 1;
    check_ranking(top_k(fa, fb, false, reduction, options, threads(2)),
                  sorted(all_pairs(fa, fb, reduction), a.images, b.images, 10, reduction));
  }
}

// Close vectors far from the origin: the norms cancel, the differences do not.
void test_cancellation() {
  check::Random random(21);
  Set a = random_set(random, 4, 5, 64, false, Shape::kFree);
  Set b = a;
  for (double& v : b.values) v += 1e-4 * random.normal();
  b.store();
  for (Reduction reduction :
       {Reduction::kSqEuclid, Reduction::kEuclidSum, Reduction::kEuclidL2, Reduction::kHausdorff}) {
    const std::vector<float> scores =
        all_pairs(a.view(Scalar::kFloat32), b.view(Scalar::kFloat32), reduction);
    for (int64_t i = 0; i < a.images; ++i) {
      const double expected = naive_score(a, i, b, i, reduction);
      CHECK_NEAR(scores[i * b.images + i], expected, 1e-5 * expected);
      CHECK_EQ(self_join(a.view(Scalar::kFloat32), reduction)[i * a.images + i], 0.f);
    }
  }
}

// Central differences in double, and the same bits for every number of threads.
void test_backward() {
  check::Random random(31);
  Set a = random_set(random, 3, 4, 6, false, Shape::kFree),
      b = random_set(random, 4, 3, 6, false, Shape::kFree);
  a.sizes = {4, 0, 3}, b.sizes = {3, 2, 0, 3};
  for (Reduction reduction : kReductions) {
    const int64_t pairs = a.images * b.images;
    std::vector<double> grad(pairs), scores(pairs);
    for (int64_t i = 0; i < pairs; ++i)
      grad[i] = i % b.images == 2 ? 0 : random.normal();  // an empty target is infinitely far
    std::vector<int32_t> argmax(pairs * a.capacity);
    pr_mac(a.view(Scalar::kFloat64), b.view(Scalar::kFloat64), reduction, Precision::kExact, scores.data(),
           argmax.data(), serial());
    std::vector<double> ga(a.values.size(), 9), gb(b.values.size(), 9), ga4 = ga, gb4 = gb;
    pr_mac_backward(a.view(Scalar::kFloat64), b.view(Scalar::kFloat64), reduction, grad.data(), scores.data(),
                    argmax.data(), ga.data(), gb.data(), serial());
    pr_mac_backward(a.view(Scalar::kFloat64), b.view(Scalar::kFloat64), reduction, grad.data(), scores.data(),
                    argmax.data(), ga4.data(), gb4.data(), threads(4));
    CHECK(ga == ga4 && gb == gb4);
    auto loss = [&] {
      double sum = 0;
      for (int64_t q = 0; q < a.images; ++q)
        for (int64_t t = 0; t < b.images; ++t)
          if (grad[q * b.images + t] != 0) sum += grad[q * b.images + t] * naive_score(a, q, b, t, reduction);
      return sum;
    };
    auto compare = [&](Set& set, const std::vector<double>& gradient) {
      for (int64_t i = 0; i < set.images; ++i)
        for (int64_t k = 0; k < set.capacity * set.channels; ++k) {
          double& x = set.values[i * set.capacity * set.channels + k];
          const double got = gradient[i * set.capacity * set.channels + k], old = x, step = 1e-6;
          if (k / set.channels >= set.size(i)) {
            CHECK_EQ(got, 0.0);
            continue;
          }
          x = old + step;
          const double up = loss();
          x = old - step;
          const double down = loss();
          x = old;
          CHECK_NEAR(got, (up - down) / (2 * step), 1e-6);
        }
    };
    compare(a, ga);
    compare(b, gb);
    std::vector<float> gradf(grad.begin(), grad.end()), scoresf(scores.begin(), scores.end()), fa(ga.size()),
        fb(gb.size());
    pr_mac_backward(a.view(Scalar::kFloat32), b.view(Scalar::kFloat32), reduction, gradf.data(),
                    scoresf.data(), argmax.data(), fa.data(), fb.data(), threads(2));
    for (size_t i = 0; i < fa.size(); ++i) CHECK_NEAR(fa[i], ga[i], 1e-5 * (1 + std::abs(ga[i])));
    for (size_t i = 0; i < fb.size(); ++i) CHECK_NEAR(fb[i], gb[i], 1e-5 * (1 + std::abs(gb[i])));
  }
}

// Numbers that are none must not crash, hang or read outside.
void test_not_numbers() {
  check::Random random(41);
  Set a = random_set(random, 20, 5, 33, true, Shape::kFree);
  const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-40f};
  for (float& x : a.f32)
    if (random.below(10) == 0) x = odd[random.below(6)];
  const Regions x = a.view(Scalar::kFloat32);
  for (Reduction reduction : kReductions)
    for (Precision precision : {Precision::kExact, Precision::kBf16}) {
      std::vector<int32_t> argmax(a.images * a.images * a.capacity);
      all_pairs(x, x, reduction, threads(2), precision, argmax.data());
      for (int64_t q = 0; q < a.images; ++q)
        for (int64_t t = 0; t < a.images; ++t)
          for (int64_t i = 0; i < a.size(q); ++i) {
            const int32_t j = argmax[(q * a.images + t) * a.capacity + i];
            CHECK(j >= -1 && j < std::max<int64_t>(1, a.size(t)));
          }
      self_join(x, reduction, threads(2), precision);
      for (bool certified : {false, true}) {
        TopKOptions options;
        options.k = 4;
        options.margin = 2;
        options.precision = precision;
        options.certified = certified;
        const Ranking ranking = top_k(x, x, true, reduction, options, threads(2));
        for (int64_t i : ranking.indices) CHECK(i >= 0 && i < a.images);
      }
    }
}

void test_empty_and_wrong() {
  check::Random random(51);
  const Set a = random_set(random, 3, 4, 5, false, Shape::kUnit),
            none = random_set(random, 0, 4, 5, false, Shape::kUnit);
  const Set wide = random_set(random, 3, 4, 6, false, Shape::kUnit);
  const Set hollow = random_set(random, 2, 0, 5, false, Shape::kUnit);
  const Regions x = a.view(Scalar::kFloat32), nothing = none.view(Scalar::kFloat32);
  CHECK(all_pairs(x, nothing, Reduction::kCosine).empty());
  CHECK(all_pairs(nothing, x, Reduction::kCosine).empty());
  CHECK(self_join(nothing, Reduction::kCosine).empty());
  TopKOptions options;
  options.k = 2;
  for (int64_t i : top_k(x, nothing, false, Reduction::kCosine, options).indices) CHECK_EQ(i, int64_t(-1));
  for (Reduction reduction : kReductions) {
    const float far = higher_is_closer(reduction) ? -INFINITY : INFINITY;
    for (float s : all_pairs(x, hollow.view(Scalar::kFloat32), reduction)) CHECK_EQ(s, far);
    for (float s : all_pairs(hollow.view(Scalar::kFloat32), x, reduction)) CHECK_EQ(s, 0.f);
    for (float s : self_join(hollow.view(Scalar::kFloat32), reduction)) CHECK_EQ(s, 0.f);
  }
  float score[9];
  const int64_t outside[] = {0, 1, 3};
  CHECK_THROWS(all_pairs(x, wide.view(Scalar::kFloat32), Reduction::kCosine), std::invalid_argument);
  CHECK_THROWS(all_pairs(x, a.view(Scalar::kFloat64), Reduction::kCosine), std::invalid_argument);
  CHECK_THROWS(pr_mac_rerank(x, x, outside, 1, Reduction::kCosine, score, serial()), std::invalid_argument);
  CHECK_THROWS(all_pairs(a.view(Scalar::kFloat64), a.view(Scalar::kFloat64), Reduction::kCosine, serial(),
                         Precision::kBf16),
               std::invalid_argument);
  CHECK_THROWS(all_pairs(x, x, static_cast<Reduction>(6)), std::invalid_argument);
  options.k = -1;
  CHECK_THROWS(pr_mac_topk(x, x, Reduction::kCosine, options, score, nullptr, serial()),
               std::invalid_argument);
}

// Levels agree: AVX2 and AVX-512 in bits, portable within 1e-6 of the vectors' size.
void test_levels(const Set& a, const Set& b) {
  const Regions fa = a.view(Scalar::kFloat32), fb = b.view(Scalar::kFloat32);
  for (Reduction reduction : kReductions) {
    std::vector<std::vector<float>> scores;
    for (Isa isa : check::isa_levels()) {
      check::use_isa(isa);
      scores.push_back(all_pairs(fa, fb, reduction));
      if (scores.size() > 2) CHECK(same_bits(scores.back(), scores[1]));
      for (size_t i = 0; i < scores[0].size(); ++i)
        CHECK_NEAR(scores.back()[i], scores[0][i], 2e-6 * static_cast<double>(a.capacity));
    }
  }
}

// One kernel's maxima over regions, in both directions, against sums in double. Small integers are exact in bfloat16, so
// that the indices must be right too.
void test_kernel(const prmac::Kernel<float>& kernel, Precision precision, bool distance, int64_t channels,
                 Shape shape) {
  check::Random random(71);
  const Set a = random_set(random, 13, 7, channels, true, shape),
            b = random_set(random, 45, 5, channels, true, shape);
  const Reduction reduction = distance ? Reduction::kSqEuclid : Reduction::kCosine;
  const double tolerance = shape == Shape::kSmallIntegers ? 0 : 1e-2;
  auto product = [&](const Set& x, int64_t i, int64_t r, const Set& y, int64_t j, int64_t s) {
    double sum = 0, norm = 0;
    for (int64_t c = 0; c < channels; ++c) {
      sum += x.row(i, r)[c] * y.row(j, s)[c];
      norm += y.row(j, s)[c] * y.row(j, s)[c];
    }
    return distance ? sum - norm / 2 : sum;
  };
  // best over the regions of image j of y, for region r of image i of x
  auto best = [&](const Set& x, int64_t i, int64_t r, const Set& y, int64_t j, int32_t* index) {
    double most = -kInf;
    *index = 0;
    for (int64_t s = 0; s < y.size(j); ++s) {
      const double value = product(x, i, r, y, j, s);
      if (value > most) *index = static_cast<int32_t>(s), most = value;
    }
    return most;
  };
  for (bool self : {false, true}) {
    const Set& t = self ? a : b;
    prmac::Join<float> join(a.view(Scalar::kFloat32), t.view(Scalar::kFloat32), self, reduction, precision,
                            kernel);
    join.want_index = !self;
    join.plan(1);
    auto make_consumer = [&] {
      return [&](const prmac::Products<float>& p) {
        for (int64_t i = 0; i < p.block.images; ++i)
          for (int64_t l = 0; l < p.group.images; ++l) {
            const int64_t q = p.block.first + i, other = p.group.first + l;
            int32_t index;
            for (int64_t r = 0; r < a.size(q); ++r) {
              const int64_t at = (p.block.offsets[i] + r) * p.lanes + l;
              CHECK_NEAR(p.best[at], best(a, q, r, t, other, &index), tolerance);
              if (!self && tolerance == 0) CHECK_EQ(p.index[at], index);
            }
            for (int64_t r = 0; self && r < a.size(other); ++r)
              CHECK_NEAR(p.column_best[(i * p.group.regions + r) * p.lanes + l],
                         best(a, other, r, a, q, &index), tolerance);
          }
      };
    };
    run_join(join, make_consumer, serial());
  }
}

void test_kernels() {
  struct Tested {
    const prmac::Kernel<float>* kernel;
    Precision precision;
  };
  std::vector<Tested> kernels = {{&prmac::kPortableFloat, Precision::kExact}};
#if MIRROR_X86
  const Isa isa = isa_available();
  if (isa >= Isa::kAvx2) kernels.push_back({&prmac::kAvx2, Precision::kExact});
  if (isa >= Isa::kAvx512) kernels.push_back({&prmac::kAvx512, Precision::kExact});
  if (isa >= Isa::kAvx512 && has_avx512_bf16()) kernels.push_back({&prmac::kAvx512Bf16, Precision::kBf16});
  if (isa >= Isa::kAvx512) kernels.push_back({&prmac::kAmxBf16Emulated, Precision::kBf16});
  if (isa >= Isa::kAmx) kernels.push_back({&prmac::kAmxBf16, Precision::kBf16});
#endif
  for (const Tested& tested : kernels)
    for (bool distance : {false, true})
      for (int64_t channels : {0, 1, 2, 15, 16, 31, 33, 64, 100, 1100})
        for (Shape shape : {Shape::kSmallIntegers, Shape::kUnit}) {
          if (check::kSanitizer && (channels > 100 || shape == Shape::kUnit)) continue;
          test_kernel(*tested.kernel, tested.precision, distance, channels, shape);
        }
}

struct Case {
  int64_t queries, regions, targets, target_regions, channels;
};

void test_everything_on_this_level() {
  test_golden();
  test_storage();
  test_cancellation();
  test_certified_near_ties(false);
  test_certified_near_ties(true);
  test_not_numbers();
  test_empty_and_wrong();
  check::Random random(3);
  const Case cases[] = {
      {5, 3, 4, 2, 1}, {9, 7, 40, 5, 13}, {30, 1, 35, 1, 33}, {9, 35, 37, 35, 24}, {3, 50, 40, 9, 100}};
  for (const Case& c : cases)
    for (Shape shape : {Shape::kUnit, Shape::kFree, Shape::kSmallIntegers})
      for (bool ragged : {false, true}) {
        if (check::kSanitizer && (!ragged || shape == Shape::kFree)) continue;
        const Set a = random_set(random, c.queries, c.regions, c.channels, ragged, shape);
        const Set b = random_set(random, c.targets, c.target_regions, c.channels, ragged, shape);
        test_against_naive(a, b, shape);
        test_promises(a, b);
      }
  for (bool ragged : {false, true})
    for (Shape shape : {Shape::kUnit, Shape::kFree}) {
      const Set a = random_set(random, 40, 6, 70, ragged, shape),
                b = random_set(random, 90, 5, 70, ragged, shape);
      test_bf16(a, b, shape);
    }
  test_bf16(random_set(random, 31, 35, 256, false, Shape::kUnit),
            random_set(random, 34, 9, 256, false, Shape::kUnit), Shape::kUnit);
}

// What threads share: the same calls from one, two and more of them.
void test_threads() {
  check::Random random(62);
  for (Isa isa : check::isa_levels()) {
    check::use_isa(isa);
    const Set a = random_set(random, 9, 7, 40, true, Shape::kUnit),
              b = random_set(random, 40, 5, 40, true, Shape::kUnit);
    test_promises(a, b);
    test_bf16(a, b, Shape::kUnit);
  }
  unsetenv("MIRROR_ISA");
  test_backward();
}

}  // namespace

int main() {
  if (check::kThreadSanitizer) {
    test_threads();
    return check::result();
  }
  for (Isa isa : check::isa_levels()) {
    check::use_isa(isa);
    test_everything_on_this_level();
  }
  check::Random random(61);
  test_levels(random_set(random, 23, 35, 47, true, Shape::kUnit),
              random_set(random, 70, 9, 47, true, Shape::kUnit));
  unsetenv("MIRROR_ISA");
  test_kernels();
  test_backward();
  return check::result();
}
