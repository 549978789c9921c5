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
#include <limits>
#include <memory>
#include <type_traits>

#include "core/float_mode.h"
#include "core/tasks.h"

namespace mirror {
namespace {

struct Turn {
  double cosine;
  double sine;
};

// Of an angle in degrees. Not libm's, whose last bit differs from machine to machine: fmod is exact, the rest
// is ours.
Turn turn(double degrees) {
  if (!std::isfinite(degrees)) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan};
  }
  const double wrapped = std::fmod(degrees, 360.0);            // (-360, 360)
  const int quarter = static_cast<int>(wrapped / 90.0 + 4.5);  // 0..8, nearest multiple of 90 degrees
  const double x = (wrapped - 90.0 * (quarter - 4)) * 0.017453292519943295;  // [-pi/4, pi/4]
  const double y = x * x;
  double s = 0, c = 0;  // Taylor series, alternating: the first term left out is below 1e-18
  for (int k = 16; k >= 2; k -= 2) {
    s = (1 + s) * (-y / ((k + 1) * k));
    c = (1 + c) * (-y / (k * (k - 1)));
  }
  s = x * (1 + s);
  c = 1 + c;
  switch (quarter & 3) {
    case 0:
      return {c, s};
    case 1:
      return {-s, c};
    case 2:
      return {-c, -s};
    default:
      return {s, -c};
  }
}

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
    const double enough = std::max(options_.min_support, options_.min_share * static_cast<double>(count));
    double good = 0, all = 0;
    for (int64_t m = 0; m < count; ++m) {
      const double ratio = std::min(ratios[2 * m], ratios[2 * m + 1]);
      const double weight = ratio >= 0 && ratio <= 1 ? 1 - ratio : 0;
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
      const double grow = static_cast<double>(q[2]) / static_cast<double>(p[2]);
      const Turn t = turn(static_cast<double>(q[3]) - static_cast<double>(p[3]));
      const double values[6] = {p[0], p[1], q[0], q[1], grow * t.cosine, grow * t.sine};
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
        if (!support(m, n, diagonal)) continue;
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

  bool support(int64_t m, int64_t n, double diagonal) const {
    const Columns<double>& k = exact_;
    const double near = options_.near * diagonal;
    const double ux = k.x[n] - k.x[m], uy = k.y[n] - k.y[m], vx = k.z[n] - k.z[m], vy = k.w[n] - k.w[m];
    const double apart = std::sqrt(ux * ux + uy * uy), length = vx * vx + vy * vy;
    if (!(apart > near && apart < options_.far * diagonal)) return false;
    auto predicts = [&](double cosine, double sine) {
      const double px = cosine * ux - sine * uy, py = sine * ux + cosine * uy;
      const double ex = px - vx, ey = py - vy;
      const double shorter = std::sqrt(std::min(px * px + py * py, length));
      return std::sqrt(ex * ex + ey * ey) < options_.tolerance * shorter + near;
    };
    return predicts(k.c[m], k.s[m]) || predicts(k.c[n], k.s[n]);
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
