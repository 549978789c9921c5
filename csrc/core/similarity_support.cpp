// Local similarity support. For matches m and n of a pair, with offsets u = x_n - x_m in photo a and v in
// photo b, m predicts v as R_m u, R_m = (scale, rotation) of its own two key points; n, looking back,
// predicts -v as -R_n u: the same test with its own R. They support each other when near < |u| < far and, for
// one of the two,
//   |R u - v| < tolerance min(|R u|, |v|) + near.
// The test is float64 (similarity_support_score.h). Nearly all of the M^2 / 2 couples are far from every limit and are
// decided in float32 before (similarity_support_sieve.h).
#include "mirror/similarity_support.h"

#include <algorithm>
#include <memory>

#include "core/float_mode.h"
#include "core/isa.h"
#include "core/similarity_support_score.h"
#include "core/similarity_support_sieve.h"
#include "core/tasks.h"

namespace mirror {
namespace {

SupportSieve support_sieve() {
  switch (isa_selected()) {
#if defined(MIRROR_X86)
    case Isa::kAmx:
    case Isa::kAvx512:
      return support_sieve_avx512;
    case Isa::kAvx2:
      return support_sieve_avx2;
#endif
    default:
      return sift_couples;
  }
}

SupportLimits limits_of(const SupportOptions& o, double diagonal) {
  constexpr double kShare = 1e-5, kTiny = 1e-36;  // the margin; the latter where float32 becomes denormal
  const double near = o.near * diagonal, far = o.far * diagonal;
  auto rounded = [](double value) { return static_cast<float>(value); };
  return {rounded(o.tolerance),
          rounded(near),
          rounded(near * near * (1 + kShare) + kTiny),
          rounded(near * near * (1 - kShare) - kTiny),
          rounded(far * far * (1 - kShare) - kTiny),
          rounded(far * far * (1 + kShare) + kTiny)};
}

template <class T>
SupportColumns<T> split(T* p, int64_t stride) {
  return {p, p + stride, p + 2 * stride, p + 3 * stride, p + 4 * stride, p + 5 * stride};
}

class Supporter {
 public:
  Supporter(const Keypoints& a, const Keypoints& b, const SupportOptions& options, SupportSieve sieve)
      : a_(a), b_(b), options_(options), sieve_(sieve) {}

  // Evidence of one pair of photos with `count` matches; flags may be nullptr.
  float operator()(int64_t photo_a, int64_t photo_b, int64_t count, const int32_t* matches,
                   const float* ratios, uint8_t* flags) {
    reserve(count);
    load(a_.data + photo_a * a_.capacity * 4, b_.data + photo_b * b_.capacity * 4, count, matches);
    count_supporters(count, a_.diagonals[photo_a]);
    const double enough = enough_supporters(options_, count);
    double good = 0, all = 0;
    for (int64_t m = 0; m < count; ++m) {
      const double weight = support_weight(ratios + 2 * m);
      const bool is_good = count >= 2 && supporters_[m] >= enough;
      if (is_good) good += weight;
      all += weight;
      if (flags != nullptr) flags[m] = is_good;
    }
    return static_cast<float>(good + options_.weak * all);
  }

 private:
  void reserve(int64_t count) {
    if (count <= capacity_) return;
    capacity_ = std::max<int64_t>(2 * capacity_, (count + 15) / 16 * 16);
    exact_data_ = Buffer<double>(6 * capacity_);
    rounded_data_ = Buffer<float>(6 * capacity_);
    supporters_ = Buffer<int32_t>(capacity_);
    doubtful_ = Buffer<int32_t>(capacity_);
    exact_ = split(exact_data_.get(), capacity_);
    rounded_ = split(rounded_data_.get(), capacity_);
  }

  void load(const float* a, const float* b, int64_t count, const int32_t* matches) {
    for (int64_t m = 0; m < count; ++m) {
      const float* p = a + int64_t{4} * matches[2 * m];
      const float* q = b + int64_t{4} * matches[2 * m + 1];
      const LocatedMatch t = locate(p, q);
      const double values[6] = {t.x, t.y, t.z, t.w, t.c, t.s};
      double* const exact[6] = {exact_.x, exact_.y, exact_.z, exact_.w, exact_.c, exact_.s};
      float* const rounded[6] = {rounded_.x, rounded_.y, rounded_.z, rounded_.w, rounded_.c, rounded_.s};
      for (int i = 0; i < 6; ++i) {
        exact[i][m] = values[i];
        rounded[i][m] = static_cast<float>(values[i]);
      }
      supporters_[m] = 0;
    }
  }

  void count_supporters(int64_t count, double diagonal) {
    const SupportLimits limits = limits_of(options_, diagonal);
    for (int64_t m = 1; m < count; ++m) {
      if (!sieve_(rounded_, m, limits, supporters_.get(), doubtful_.get())) continue;
      for (int64_t n = 0; n < m; ++n) {
        if (!doubtful_[n] || !supports(located(m), located(n), options_, diagonal)) continue;
        ++supporters_[m];
        ++supporters_[n];
      }
    }
  }

  LocatedMatch located(int64_t m) const {
    const SupportColumns<double>& k = exact_;
    return {k.x[m], k.y[m], k.z[m], k.w[m], k.c[m], k.s[m]};
  }

  FloatMode float_mode_;
  const Keypoints& a_;
  const Keypoints& b_;
  const SupportOptions& options_;
  const SupportSieve sieve_;
  int64_t capacity_ = 0;
  Buffer<double> exact_data_;
  Buffer<float> rounded_data_;
  Buffer<int32_t> supporters_;
  Buffer<int32_t> doubtful_;
  SupportColumns<double> exact_{};
  SupportColumns<float> rounded_{};
};

}  // namespace

void similarity_support(const Keypoints& a, const Keypoints& b, const int64_t* pairs, int64_t count,
                        const int32_t* matches, const float* ratios, const int64_t* offsets,
                        const SupportOptions& options, float* evidence, uint8_t* good,
                        const Parallel& parallel) {
  const SupportSieve sieve = support_sieve();
  run_tasks(parallel, count, [&] {
    return [&, supporter = std::make_unique<Supporter>(a, b, options, sieve)](int64_t pair) {
      const int64_t begin = offsets[pair];
      evidence[pair] =
          (*supporter)(pairs[2 * pair], pairs[2 * pair + 1], offsets[pair + 1] - begin, matches + 2 * begin,
                       ratios + 2 * begin, good == nullptr ? nullptr : good + begin);
    };
  });
}

}  // namespace mirror
