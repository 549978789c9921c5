// Local similarity support against a direct evaluation of its definition, and on input that makes no sense.
#include "mirror/similarity_support.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "check.h"
#include "core/float_mode.h"
#include "core/similarity_support_score.h"

using namespace mirror;
using check::Random;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Pairs of photos whose matches partly follow one similarity transform per pair.
struct Scene {
  std::vector<float> a, b, diagonals_a, diagonals_b;
  std::vector<int64_t> pairs, offsets{0};
  std::vector<int32_t> matches;
  std::vector<float> ratios;
  int64_t capacity;

  // One pair of photos for every count of matches.
  Scene(const std::vector<int64_t>& counts, double noise, uint64_t seed) {
    Random random(seed);
    capacity = std::max<int64_t>(1, *std::max_element(counts.begin(), counts.end()));
    const int64_t images = static_cast<int64_t>(counts.size());
    a.resize(static_cast<size_t>(images * capacity * 4));
    b.resize(a.size());
    for (int64_t i = 0; i < images; ++i) {
      diagonals_a.push_back(800.0f);
      diagonals_b.push_back(123.0f);  // never used: distances are measured in photo a
      const double turn = 360 * random.uniform() - 180, grow = 0.5 + random.uniform();
      pairs.insert(pairs.end(), {i, i});
      for (int64_t m = 0; m < counts[static_cast<size_t>(i)]; ++m) add(i, m, turn, grow, noise, random);
      offsets.push_back(offsets.back() + counts[static_cast<size_t>(i)]);
    }
  }
  void add(int64_t image, int64_t m, double turn, double grow, double noise, Random& random) {
    float* const p = &a[static_cast<size_t>((image * capacity + m) * 4)];
    float* const q = &b[static_cast<size_t>((image * capacity + m) * 4)];
    const double c = grow * std::cos(turn * M_PI / 180), s = grow * std::sin(turn * M_PI / 180);
    p[0] = static_cast<float>(640 * random.uniform()), p[1] = static_cast<float>(480 * random.uniform());
    p[2] = static_cast<float>(2 + 5 * random.uniform()), p[3] = static_cast<float>(360 * random.uniform());
    const bool follows = random.below(2) == 0;
    q[0] =
        static_cast<float>(follows ? c * p[0] - s * p[1] + noise * random.normal() : 640 * random.uniform());
    q[1] =
        static_cast<float>(follows ? s * p[0] + c * p[1] + noise * random.normal() : 480 * random.uniform());
    q[2] =
        static_cast<float>(follows ? grow * p[2] * (1 + 0.05 * random.normal()) : 2 + 5 * random.uniform());
    q[3] = static_cast<float>(follows ? p[3] + turn + 5 * random.normal() : 360 * random.uniform());
    matches.insert(matches.end(), {static_cast<int32_t>(m), static_cast<int32_t>(m)});
    for (int side = 0; side < 2; ++side) ratios.push_back(static_cast<float>(0.4 + 0.6 * random.uniform()));
  }
  int64_t count() const { return static_cast<int64_t>(pairs.size()) / 2; }
};

struct Result {
  std::vector<float> evidence;
  std::vector<uint8_t> good;
  bool operator==(const Result& o) const { return evidence == o.evidence && good == o.good; }
};

Result run(const Scene& s, const SupportOptions& options = {}, const Parallel& parallel = serial()) {
  Result r{std::vector<float>(static_cast<size_t>(s.count()), -1),
           std::vector<uint8_t>(static_cast<size_t>(s.offsets.back()), 7)};
  const Keypoints a{s.a.data(), s.diagonals_a.data(), s.count(), s.capacity};
  const Keypoints b{s.b.data(), s.diagonals_b.data(), s.count(), s.capacity};
  similarity_support(a, b, s.pairs.data(), s.count(), s.matches.data(), s.ratios.data(), s.offsets.data(),
                     options, r.evidence.data(), r.good.data(), parallel);
  return r;
}

// ---- the definition, literally --------------------------------------------------------------------------------------

bool predicts(const float* p, const float* q, double ux, double uy, double vx, double vy,
              const SupportOptions& o, double diagonal) {
  const double turn = (static_cast<double>(q[3]) - static_cast<double>(p[3])) * M_PI / 180;
  const double grow = static_cast<double>(q[2]) / static_cast<double>(p[2]);
  const double c = grow * std::cos(turn), s = grow * std::sin(turn);
  const double px = c * ux - s * uy, py = s * ux + c * uy;
  const double length = std::min(std::sqrt(px * px + py * py), std::sqrt(vx * vx + vy * vy));
  return std::sqrt((px - vx) * (px - vx) + (py - vy) * (py - vy)) < o.tolerance * length + o.near * diagonal;
}

Result reference(const Scene& s, const SupportOptions& o = {}) {
  Result r;
  for (int64_t pair = 0; pair < s.count(); ++pair) {
    const int64_t begin = s.offsets[static_cast<size_t>(pair)],
                  end = s.offsets[static_cast<size_t>(pair + 1)];
    const double diagonal = s.diagonals_a[static_cast<size_t>(pair)];
    auto point = [&](const std::vector<float>& points, int64_t m, int side) {
      return &points[static_cast<size_t>((pair * s.capacity + s.matches[static_cast<size_t>(2 * m + side)]) *
                                         4)];
    };
    double good = 0, all = 0;
    for (int64_t m = begin; m < end; ++m) {
      int supporters = 0;
      for (int64_t n = begin; n < end; ++n) {
        const float *pm = point(s.a, m, 0), *qm = point(s.b, m, 1), *pn = point(s.a, n, 0),
                    *qn = point(s.b, n, 1);
        const double ux = static_cast<double>(pn[0]) - pm[0], uy = static_cast<double>(pn[1]) - pm[1];
        const double vx = static_cast<double>(qn[0]) - qm[0], vy = static_cast<double>(qn[1]) - qm[1];
        const double apart = std::sqrt(ux * ux + uy * uy);
        supporters += n != m && apart > o.near * diagonal && apart < o.far * diagonal &&
                      (predicts(pm, qm, ux, uy, vx, vy, o, diagonal) ||
                       predicts(pn, qn, -ux, -uy, -vx, -vy, o, diagonal));
      }
      const double weight = 1 - static_cast<double>(std::min(s.ratios[static_cast<size_t>(2 * m)],
                                                             s.ratios[static_cast<size_t>(2 * m + 1)]));
      const double enough = std::max(o.min_support, o.min_share * static_cast<double>(end - begin));
      r.good.push_back(end - begin >= 2 && supporters >= enough);
      if (r.good.back()) good += weight;
      all += weight;
    }
    r.evidence.push_back(static_cast<float>(good + o.weak * all));
  }
  return r;
}

void check_scene(const Scene& s, const SupportOptions& o = {}) {
  const Result expected = reference(s, o);
  for (const Isa isa : check::isa_levels()) {
    check::use_isa(isa);
    const Result got = run(s, o);
    CHECK(got.good == expected.good);
    for (size_t i = 0; i < expected.evidence.size(); ++i)
      CHECK_NEAR(got.evidence[i], expected.evidence[i], 1e-6 * (1 + std::abs(expected.evidence[i])));
  }
}

// ---- tests ----------------------------------------------------------------------------------------------------------

void test_scenes() {
  for (const double noise : {0.0, 3.0, 30.0})
    check_scene(Scene({0, 1, 2, 3, 5, 17, 64, 150, 400, 30, 30, 30}, noise, 1));
  const Result r = run(Scene({200}, 1.0, 2));
  const auto good = std::count(r.good.begin(), r.good.end(), 1);
  CHECK(good > 70 && good < 130);  // about half of the matches follow the transform
}

void test_options() {
  const Scene scene({0, 1, 2, 3, 40, 200}, 3.0, 3);
  for (const double tolerance : {0.0, 0.1, 1.0, 2.0})
    for (const double near : {0.0, 0.004, 0.05})
      for (const double far : {0.01, 0.25, 10.0}) {
        SupportOptions o;
        o.tolerance = tolerance, o.near = near, o.far = far;
        check_scene(scene, o);
        o.min_support = 0, o.min_share = 0, o.weak = 0;
        check_scene(scene, o);
      }
}

// Offsets that lie exactly on the limits: strictly inside counts, on the limit does not.
void test_limits() {
  Scene scene({3}, 0, 4);
  scene.diagonals_a[0] = 1000;
  SupportOptions o;
  o.near = 0.004, o.min_support = 1, o.min_share = 0;
  const float far = 0.25f * 1000;
  const float x[3][2] = {{0, 0}, {far, 0}, {0, 4}};  // 0-1: exactly far; 0-2: exactly near; 1-2: too far
  for (int m = 0; m < 3; ++m)
    for (std::vector<float>* points : {&scene.a, &scene.b}) {
      float* const p = &(*points)[static_cast<size_t>(4 * m)];
      p[0] = x[m][0], p[1] = x[m][1], p[2] = 1, p[3] = 0;
    }
  CHECK(run(scene, o).good == std::vector<uint8_t>({0, 0, 0}));
  for (std::vector<float>* points : {&scene.a, &scene.b}) (*points)[4] = std::nextafter(far, 0.0f);
  CHECK(run(scene, o).good == std::vector<uint8_t>({1, 1, 0}));
  for (std::vector<float>* points : {&scene.a, &scene.b}) (*points)[9] = 4.001f;
  CHECK(run(scene, o).good == std::vector<uint8_t>({1, 1, 1}));
}

// Small whole coordinates, quarter turns and doublings put many couples exactly on a limit, where float32 cannot decide:
// every couple by the float64 test alone must give the same counts, seen through every threshold on them.
void test_ties() {
  Random random(11);
  for (int i = 0; i < 60; ++i) {
    const float unit = i == 0   ? 1.0f
                       : i == 1 ? 1e-18f
                       : i == 2 ? 1e15f
                                : static_cast<float>(0.5 + random.uniform());
    Scene scene({120}, 0, 12);
    scene.diagonals_a[0] = 40 * unit;
    for (size_t at = 0; at < scene.a.size(); ++at)
      for (std::vector<float>* points : {&scene.a, &scene.b}) {
        const int column = static_cast<int>(at % 4);
        (*points)[at] = column < 2    ? unit * static_cast<float>(random.below(16))
                        : column == 2 ? static_cast<float>(1 << random.below(2))
                                      : 90.0f * static_cast<float>(random.below(4));
      }
    SupportOptions o;
    o.tolerance = 0.5, o.near = i % 2 == 0 ? 0.05 : 0, o.far = 0.125, o.min_share = 0;  // 2 or 0, and 5 units
    std::vector<int> supporters(120);
    for (size_t m = 0; m < 120; ++m)
      for (size_t n = 0; n < 120; ++n)
        supporters[m] +=
            m != n && supports(locate(&scene.a[4 * m], &scene.b[4 * m]),
                               locate(&scene.a[4 * n], &scene.b[4 * n]), o, scene.diagonals_a[0]);
    CHECK(*std::max_element(supporters.begin(), supporters.end()) > 3);
    for (const Isa isa : check::isa_levels())
      for (int least = 1; least < 30; ++least) {
        check::use_isa(isa);
        o.min_support = least;
        std::vector<uint8_t> expected;
        for (int count : supporters) expected.push_back(count >= least);
        CHECK(run(scene, o).good == expected);
      }
  }
}

// Angles of any size; multiples of 90 degrees are exact.
void test_angles() {
  Random random(5);
  for (const double scale : {1.0, 100.0, 1e4}) {
    Scene scene({80, 80}, 2.0, 6);
    for (size_t i = 3; i < scene.a.size(); i += 4) {
      const float turns = static_cast<float>(std::round(scale * random.normal()));
      scene.b[i] += 360.0f * turns;
    }
    check_scene(scene);
    CHECK(run(scene).evidence[0] > 5);
  }
}

void test_nonsense() {
  const float odd[] = {kNan, kInf, -kInf, 0.0f, -1.0f, 3e38f, -3e38f, 1e-40f};
  for (const float value : odd)
    for (int column = 0; column < 4; ++column)
      for (int side = 0; side < 2; ++side) {
        Scene scene({60, 60}, 1.0, 7);
        const Result untouched = run(scene);
        std::vector<float>& points = side == 0 ? scene.a : scene.b;
        for (size_t m = 0; m < 60; m += 6) points[4 * m + static_cast<size_t>(column)] = value;
        const Result r = run(scene);
        CHECK(std::isfinite(r.evidence[0]) && r.evidence[0] >= 0);
        CHECK(r.evidence[0] <= 60);
        CHECK_EQ(r.evidence[1], untouched.evidence[1]);
        for (uint8_t flag : r.good) CHECK(flag <= 1);
        for (float& x : points) x = value;
        for (float evidence : run(scene).evidence) CHECK(std::isfinite(evidence) && evidence >= 0);
        if (std::isnan(value) && column < 2) CHECK(std::count(r.good.begin(), r.good.begin() + 1, 1) == 0);
      }
  Scene scene({20}, 1.0, 8);
  for (size_t i = 0; i < 10; ++i) scene.ratios[i] = i % 2 == 0 ? kNan : 7.0f;
  CHECK(std::isfinite(run(scene).evidence[0]));
  for (const float diagonal : {kNan, kInf, 0.0f, -5.0f}) {
    Scene other({20}, 1.0, 9);
    other.diagonals_a[0] = diagonal;
    CHECK(std::isfinite(run(other).evidence[0]));
  }
}

void test_threads_and_modes() {
  const Scene scene({40, 0, 1, 300, 2, 77, 90, 5, 5, 160}, 2.0, 10);
  check::use_isa(Isa::kPortable);
  const Result expected = run(scene);
  for (const Isa isa : check::isa_levels())
    for (const int count : {1, 2, 4, 5}) {
      check::use_isa(isa);
      CHECK(run(scene, {}, threads(count)) == expected);
    }
#if defined(__SSE2__)
  const unsigned before = _mm_getcsr();
  _mm_setcsr(0xdfc0);  // flush denormals, round upwards
  const Result odd = run(scene);
  _mm_setcsr(before);
  CHECK(odd == expected);
#endif
  // Without flags the evidence is the same.
  std::vector<float> evidence(static_cast<size_t>(scene.count()));
  const Keypoints a{scene.a.data(), scene.diagonals_a.data(), scene.count(), scene.capacity};
  const Keypoints b{scene.b.data(), scene.diagonals_b.data(), scene.count(), scene.capacity};
  similarity_support(a, b, scene.pairs.data(), scene.count(), scene.matches.data(), scene.ratios.data(),
                     scene.offsets.data(), {}, evidence.data(), nullptr, threads(2));
  CHECK(evidence == expected.evidence);
  similarity_support(a, b, nullptr, 0, nullptr, nullptr, scene.offsets.data(), {}, nullptr, nullptr,
                     threads(2));
}

}  // namespace

int main() {
  test_scenes();
  test_options();
  test_limits();
  test_ties();
  test_angles();
  test_nonsense();
  test_threads_and_modes();
  return check::result();
}
