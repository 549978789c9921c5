// Local similarity support. For matches m and n of a pair, with offsets u = x_n - x_m in photo a and v in
// photo b, m predicts v as R_m u, R_m = (scale, rotation) of its own two key points; n, looking back,
// predicts -v as -R_n u: the same test with its own R. They support each other when near < |u| < far and, for
// one of the two,
//   |R u - v| < tolerance min(|R u|, |v|) + near.
// Nearly all of the M^2 / 2 couples fail, so they first pass a float32 sieve without square roots, which lets
// through whatever could pass; the test itself is float64.
#include "mirror/similarity_support.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <type_traits>

#include "core/float_mode.h"
#include "core/similarity_support_score.h"
#include "core/tasks.h"

namespace mirror {
namespace {

// A match as structure of arrays: position in a (x, y) and b (z, w), its transform R = [c -s; s c].
template <class T>
struct Columns {
  T *x, *y, *z, *w, *c, *s;
};

class Supporter {
 public:
  Supporter(const Keypoints& a, const Keypoints& b, const SupportOptions& options)
      : a_(a), b_(b), options_(options) {}

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
    sieve_data_ = Buffer<float>(6 * capacity_);
    supporters_ = Buffer<int32_t>(capacity_);
    passed_ = Buffer<int32_t>(capacity_);
    auto split = [this](auto* p) {
      return Columns<std::remove_pointer_t<decltype(p)>>{
          p, p + capacity_, p + 2 * capacity_, p + 3 * capacity_, p + 4 * capacity_, p + 5 * capacity_};
    };
    exact_ = split(exact_data_.get());
    sieve_ = split(sieve_data_.get());
  }

  void load(const float* a, const float* b, int64_t count, const int32_t* matches) {
    for (int64_t m = 0; m < count; ++m) {
      const float* p = a + int64_t{4} * matches[2 * m];
      const float* q = b + int64_t{4} * matches[2 * m + 1];
      const LocatedMatch t = locate(p, q);
      const double values[6] = {t.x, t.y, t.z, t.w, t.c, t.s};
      double* const exact[6] = {exact_.x, exact_.y, exact_.z, exact_.w, exact_.c, exact_.s};
      float* const sieve[6] = {sieve_.x, sieve_.y, sieve_.z, sieve_.w, sieve_.c, sieve_.s};
      for (int i = 0; i < 6; ++i) {
        exact[i][m] = values[i];
        sieve[i][m] = static_cast<float>(values[i]);
      }
      supporters_[m] = 0;
    }
  }

  void count_supporters(int64_t count, double diagonal) {
    for (int64_t m = 1; m < count; ++m) {
      const int64_t candidates = sift(m, diagonal);
      for (int64_t i = 0; i < candidates; ++i) {
        const int32_t n = passed_[i];
        if (!supports(located(m), located(n), options_, diagonal)) continue;
        ++supporters_[m];
        ++supporters_[n];
      }
    }
  }

  // The n < m that may support m. (tolerance l + near)^2 <= 2 (tolerance^2 l^2 + near^2), and float32 errs by
  // less than the slack of 5 % and a millionth of the lengths. Comparisons are written so that a NaN passes.
  int64_t sift(int64_t m, double diagonal) {
    const Columns<float>& k = sieve_;
    const float x = k.x[m], y = k.y[m], z = k.z[m], w = k.w[m], c = k.c[m], s = k.s[m];
    const float far = static_cast<float>(1.001 * options_.far * options_.far * diagonal * diagonal);
    const float square = static_cast<float>(2.1 * options_.tolerance * options_.tolerance);
    const float slack = static_cast<float>(2.1 * options_.near * options_.near * diagonal * diagonal);
    int32_t* const passed = passed_.get();
    for (int64_t n = 0; n < m; ++n) {  // no branch, no dependence: the compiler makes vectors of this
      const float ux = k.x[n] - x, uy = k.y[n] - y, vx = k.z[n] - z, vy = k.w[n] - w;
      const float length = vx * vx + vy * vy;
      auto impossible = [&](float cosine, float sine) {
        const float px = cosine * ux - sine * uy, py = sine * ux + cosine * uy;
        const float ex = px - vx, ey = py - vy, predicted = px * px + py * py;
        const float shorter = predicted < length ? predicted : length;
        return static_cast<int32_t>(ex * ex + ey * ey >
                                    square * shorter + slack + 1e-6f * (predicted + length));
      };
      const int32_t apart = static_cast<int32_t>(ux * ux + uy * uy > far);
      passed[n] = (apart | (impossible(c, s) & impossible(k.c[n], k.s[n]))) ^ 1;
    }
    int64_t kept = 0;
    for (int64_t n = 0; n < m; ++n) {
      const int32_t may = passed[n];
      passed[kept] = static_cast<int32_t>(n);
      kept += may;
    }
    return kept;
  }

  LocatedMatch located(int64_t m) const {
    const Columns<double>& k = exact_;
    return {k.x[m], k.y[m], k.z[m], k.w[m], k.c[m], k.s[m]};
  }

  FloatMode float_mode_;
  const Keypoints& a_;
  const Keypoints& b_;
  const SupportOptions& options_;
  int64_t capacity_ = 0;
  Buffer<double> exact_data_;
  Buffer<float> sieve_data_;
  Buffer<int32_t> supporters_;
  Buffer<int32_t> passed_;
  Columns<double> exact_{};
  Columns<float> sieve_{};
};

}  // namespace

void similarity_support(const Keypoints& a, const Keypoints& b, const int64_t* pairs, int64_t count,
                        const int32_t* matches, const float* ratios, const int64_t* offsets,
                        const SupportOptions& options, float* evidence, uint8_t* good,
                        const Parallel& parallel) {
  run_tasks(parallel, count, [&] {
    return [&, supporter = std::make_unique<Supporter>(a, b, options)](int64_t pair) {
      const int64_t begin = offsets[pair];
      evidence[pair] =
          (*supporter)(pairs[2 * pair], pairs[2 * pair + 1], offsets[pair + 1] - begin, matches + 2 * begin,
                       ratios + 2 * begin, good == nullptr ? nullptr : good + begin);
    };
  });
}

}  // namespace mirror
