// Max pooling against plain loops over every box, bit for bit: every instruction set, thread count, layout and storage type,
// ties, NaNs and infinities.
#include "mirror/pooling.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "core/half.h"
#include "core/pooling_plan.h"

namespace {

using namespace mirror;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

enum class Layout { kPlanes, kChannelsLast, kTransposed, kReversed };
constexpr Layout kLayouts[] = {Layout::kPlanes, Layout::kChannelsLast, Layout::kTransposed,
                               Layout::kReversed};
enum class Kind { kNormal, kFew, kNan, kInfinite };
constexpr Scalar kScalars[] = {Scalar::kFloat32, Scalar::kFloat64, Scalar::kBFloat16, Scalar::kFloat16};

size_t size_of(Scalar scalar) { return scalar == Scalar::kFloat64 ? 8 : scalar == Scalar::kFloat32 ? 4 : 2; }

// Maps whose numbers every storage type can hold.
struct Maps {
  std::vector<double> values;          // [images, channels, height, width]
  std::vector<unsigned char> storage;  // the same in the layout
  FeatureMaps maps;

  Maps(int64_t images, int64_t channels, int64_t height, int64_t width, Layout layout, Scalar scalar,
       Kind kind, check::Random& random) {
    maps = {nullptr, images, channels, height, width, {}, scalar};
    int64_t* const s = maps.strides;
    const int64_t cells = height * width, all = images * channels * cells;
    int64_t start = 0;
    switch (layout) {
      case Layout::kPlanes:
        s[0] = channels * cells, s[1] = cells, s[2] = width, s[3] = 1;
        break;
      case Layout::kChannelsLast:
        s[0] = channels * cells, s[1] = 1, s[2] = width * channels, s[3] = channels;
        break;
      case Layout::kTransposed:  // columns before rows
        s[0] = channels * cells, s[1] = cells, s[2] = 1, s[3] = height;
        break;
      case Layout::kReversed:
        s[0] = channels * cells, s[1] = cells, s[2] = -width, s[3] = -1;
        start = cells > 0 ? cells - 1 : 0;
        break;
    }
    storage.resize(static_cast<size_t>(all) * size_of(scalar));
    maps.data = storage.data() + static_cast<size_t>(start) * size_of(scalar);
    for (int64_t i = 0; i < all; ++i) values.push_back(number(kind, random));
    for (int64_t b = 0; b < images; ++b)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t y = 0; y < height; ++y)
          for (int64_t x = 0; x < width; ++x)
            put(start + b * s[0] + c * s[1] + y * s[2] + x * s[3], at(b, c, y * width + x));
  }

  double at(int64_t image, int64_t channel, int64_t cell) const {
    return values[static_cast<size_t>((image * maps.channels + channel) * maps.height * maps.width + cell)];
  }

 private:
  static double number(Kind kind, check::Random& random) {
    if (kind == Kind::kFew) return static_cast<double>(random.below(3)) * (random.below(2) ? 0.5 : -0.0);
    if (kind == Kind::kNan && random.below(40) == 0) return kNan;
    if (kind == Kind::kInfinite && random.below(9) == 0) return random.below(2) ? kInfinity : -kInfinity;
    return static_cast<double>(random.below(255) - 127) / 64;
  }

  void put(int64_t where, double x) {
    const float narrow = static_cast<float>(x);
    const uint16_t half =
        maps.scalar == Scalar::kBFloat16 ? mirror::narrow_bf16(narrow) : mirror::narrow_fp16(narrow);
    const void* const from = maps.scalar == Scalar::kFloat64   ? static_cast<const void*>(&x)
                             : maps.scalar == Scalar::kFloat32 ? static_cast<const void*>(&narrow)
                                                               : &half;
    std::memcpy(storage.data() + static_cast<size_t>(where) * size_of(maps.scalar), from,
                size_of(maps.scalar));
  }
};

double stored(const std::vector<unsigned char>& memory, Scalar scalar, size_t i) {
  double wide = 0;
  float narrow = 0;
  uint16_t half = 0;
  std::memcpy(&wide, memory.data() + i * size_of(scalar), scalar == Scalar::kFloat64 ? 8 : 0);
  std::memcpy(&narrow, memory.data() + i * size_of(scalar), scalar == Scalar::kFloat32 ? 4 : 0);
  if (size_of(scalar) == 2) std::memcpy(&half, memory.data() + i * 2, 2);
  switch (scalar) {
    case Scalar::kFloat64:
      return wide;
    case Scalar::kFloat32:
      return narrow;
    case Scalar::kBFloat16:
      return widen_bf16(half);
    default:
      return widen_fp16(half);
  }
}

bool same(double a, double b) { return a != a ? b != b : a == b && std::signbit(a) == std::signbit(b); }

// The definition: the first largest of listed cells, NaN before all numbers; `sign` -1: the smallest.
struct Expected {
  double value = 0;
  int32_t index = -1;
};
Expected extreme(const Maps& maps, int64_t image, int64_t channel, const std::vector<int64_t>& cells,
                 int sign) {
  Expected best;
  for (const int64_t cell : cells) {
    const double x = maps.at(image, channel, cell);
    if (best.index >= 0 && best.value != best.value) break;
    if (best.index >= 0 && x == x && x * sign <= best.value * sign) continue;
    best = {x, static_cast<int32_t>(cell)};
  }
  best.value += 0.0;
  return best;
}

void compare(const std::vector<unsigned char>& pooled, const std::vector<int32_t>* argmax, Scalar scalar,
             const std::vector<Expected>& expected, const char* what) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const double value = stored(pooled, scalar, i);
    CHECK_SAY(same(value, expected[i].value), "%s, %zu: expected %g, got %g", what, i, expected[i].value,
              value);
    if (argmax)
      CHECK_SAY((*argmax)[i] == expected[i].index, "%s, argmax %zu: expected %d, got %d", what, i,
                expected[i].index, (*argmax)[i]);
  }
}

// `run(pooled, argmax, parallel)` at every level, for several thread counts, with and without argmax.
template <class Run>
void on_every_path(Scalar scalar, const std::vector<Expected>& expected, const char* what, const Run& run) {
  std::vector<unsigned char> first;
  for (const Isa isa : check::isa_levels()) {
    check::use_isa(isa);
    for (const int count : {1, 3}) {
      std::vector<unsigned char> pooled(expected.size() * size_of(scalar), 0xa5), values(pooled);
      std::vector<int32_t> argmax(expected.size(), -7);
      run(pooled.data(), argmax.data(), threads(count));
      run(values.data(), nullptr, threads(count));
      compare(pooled, &argmax, scalar, expected, what);
      CHECK_SAY(values == pooled, "%s: with and without argmax", what);
      if (first.empty()) first = pooled;
      CHECK_SAY(pooled == first, "%s: other bits at %s", what, isa_name(isa));
    }
  }
}

std::vector<int64_t> random_boxes(int64_t count, int64_t height, int64_t width, check::Random& random) {
  std::vector<int64_t> boxes;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t h = 1 + random.below(height), w = 1 + random.below(width);
    boxes.insert(boxes.end(), {random.below(height - h + 1), random.below(width - w + 1), h, w});
  }
  return boxes;
}

void test_regions(const Maps& maps, int64_t count, check::Random& random) {
  const int64_t width = maps.maps.width;
  const std::vector<int64_t> boxes = random_boxes(count, maps.maps.height, width, random);
  const std::vector<int32_t> narrow(boxes.begin(), boxes.end());
  std::vector<Expected> expected;
  for (int64_t b = 0; b < maps.maps.images; ++b)
    for (int64_t r = 0; r < count; ++r) {
      std::vector<int64_t> cells;
      const int64_t* const box = boxes.data() + 4 * r;
      for (int64_t y = box[0]; y < box[0] + box[2]; ++y)
        for (int64_t x = box[1]; x < box[1] + box[3]; ++x) cells.push_back(y * width + x);
      for (int64_t c = 0; c < maps.maps.channels; ++c) expected.push_back(extreme(maps, b, c, cells, 1));
    }
  on_every_path(
      maps.maps.scalar, expected, "regions", [&](void* pooled, int32_t* argmax, const Parallel& parallel) {
        const bool int32 = argmax == nullptr;
        const Boxes listed{int32 ? static_cast<const void*>(narrow.data()) : boxes.data(), count, int32};
        region_max_pool(maps.maps, listed, pooled, argmax, parallel);
      });
}

void test_masks(const Maps& maps, check::Random& random) {
  const int64_t cells = maps.maps.height * maps.maps.width;
  std::vector<uint8_t> mask;
  std::vector<Expected> expected;
  for (int64_t b = 0; b < maps.maps.images; ++b) {
    std::vector<int64_t> kept, all;
    const int64_t share = b == 0 ? 0 : 1 + random.below(4);  // the first image keeps nothing
    for (int64_t i = 0; i < cells; ++i) {
      const bool keep = random.below(4) < share;
      mask.push_back(keep ? static_cast<uint8_t>(1 + random.below(255)) : 0);
      if (keep) kept.push_back(i);
      all.push_back(i);
    }
    for (int64_t c = 0; c < maps.maps.channels; ++c)
      expected.push_back(kept.empty() ? extreme(maps, b, c, all, -1) : extreme(maps, b, c, kept, 1));
  }
  on_every_path(maps.maps.scalar, expected, "masks",
                [&](void* pooled, int32_t* argmax, const Parallel& parallel) {
                  masked_max_pool(maps.maps, mask.data(), pooled, argmax, parallel);
                });
}

void test_everything() {
  check::Random random(5);
  const int64_t shapes[][4] = {{2, 5, 7, 9}, {2, 70, 6, 5}, {3, 64, 28, 28}, {2, 130, 1, 3}, {1, 3, 1, 1}};
  for (const auto& shape : shapes)
    for (const Layout layout : kLayouts)
      for (const Scalar scalar : kScalars)
        for (const Kind kind : {Kind::kNormal, Kind::kFew, Kind::kNan, Kind::kInfinite}) {
          const bool large = shape[2] * shape[1] > 500;
          if (large && (kind == Kind::kInfinite || (check::kSanitizer && scalar != Scalar::kFloat32)))
            continue;
          const Maps maps(shape[0], shape[1], shape[2], shape[3], layout, scalar, kind, random);
          test_regions(maps, large ? 8 : 12, random);
          test_masks(maps, random);
        }
  // Several plans, and long covers.
  const Maps wide(1, 2, 40, 150, Layout::kPlanes, Scalar::kFloat32, Kind::kFew, random);
  test_regions(wide, 300, random);
}

void test_empty() {
  check::Random random(1);
  for (const auto& shape : {std::array<int64_t, 4>{0, 3, 4, 5}, {2, 0, 4, 5}, {2, 3, 4, 5}}) {
    const Maps maps(shape[0], shape[1], shape[2], shape[3], Layout::kPlanes, Scalar::kFloat32, Kind::kNormal,
                    random);
    test_regions(maps, 0, random);
    if (shape[0] * shape[1] == 0) test_regions(maps, 2, random);
    test_masks(maps, random);
  }
}

template <class T>
void test_backward(Layout layout, Scalar scalar) {
  check::Random random(9);
  const Maps maps(2, 67, 6, 5, layout, scalar, Kind::kFew, random);
  const int64_t count = 9;
  const std::vector<int64_t> boxes = random_boxes(count, 6, 5, random);
  std::vector<T> pooled(2 * 67 * count), grad(pooled.size());
  std::vector<int32_t> argmax(pooled.size());
  region_max_pool(maps.maps, {boxes.data(), count, false}, pooled.data(), argmax.data(), serial());
  for (T& g : grad) g = static_cast<T>(random.normal());
  std::vector<T> expected(2 * 67 * 30, T(0)), first;
  for (int64_t b = 0; b < 2; ++b)
    for (int64_t r = 0; r < count; ++r)
      for (int64_t c = 0; c < 67; ++c) {
        const size_t at = static_cast<size_t>((b * count + r) * 67 + c);
        expected[static_cast<size_t>((b * 67 + c) * 30 + argmax[at])] += grad[at];
      }
  for (const int threads_count : {1, 4}) {
    Maps gradient(2, 67, 6, 5, layout, scalar, Kind::kNan, random);  // overwritten
    max_pool_backward(grad.data(), argmax.data(), count, gradient.maps, threads(threads_count));
    const T* const out = static_cast<const T*>(gradient.maps.data);
    const int64_t* const s = gradient.maps.strides;
    for (int64_t i = 0; i < 2 * 67 * 30; ++i) {
      const int64_t b = i / (67 * 30), c = i / 30 % 67, y = i % 30 / 5, x = i % 5;
      CHECK_EQ(out[b * s[0] + c * s[1] + y * s[2] + x * s[3]], expected[static_cast<size_t>(i)]);
    }
  }
  argmax[3] = 30;
  CHECK_THROWS(max_pool_backward(grad.data(), argmax.data(), count, maps.maps, threads(2)),
               std::invalid_argument);
}

void test_errors() {
  check::Random random(2);
  const Maps maps(1, 2, 4, 5, Layout::kPlanes, Scalar::kFloat32, Kind::kNormal, random);
  float pooled[2];
  const int64_t bad[][4] = {{0, 0, 0, 1},         {0, 0, 1, 0},         {-1, 0, 2, 2},
                            {0, -1, 2, 2},        {3, 0, 2, 1},         {0, 3, 1, 3},
                            {INT64_MAX, 0, 1, 1}, {0, 0, INT64_MAX, 1}, {4, 0, 1, 1}};
  for (const auto& box : bad)
    CHECK_THROWS(region_max_pool(maps.maps, {box, 1, false}, pooled, nullptr, serial()),
                 std::invalid_argument);
  FeatureMaps none = maps.maps;
  none.height = 0;
  CHECK_THROWS(masked_max_pool(none, nullptr, pooled, nullptr, serial()), std::invalid_argument);
  FeatureMaps half = maps.maps;
  half.scalar = Scalar::kFloat16;
  CHECK_THROWS(max_pool_backward(nullptr, nullptr, 0, half, serial()), std::invalid_argument);
}

// The regions of R-MAC share their work: fewer maxima than cells.
void test_plan() {
  std::vector<pooling::Box> boxes;
  for (const int64_t scale : {1, 3, 5})
    for (int64_t i = 0; i < scale; ++i)
      for (int64_t j = 0; j < scale; ++j) {
        const int64_t side = scale == 1 ? 28 : scale == 3 ? 14 : 8, step = scale == 3 ? 7 : 5;
        boxes.push_back({i * step, j * step, side, side});
      }
  const std::vector<pooling::Plan> plans = pooling::plan_boxes(boxes);
  CHECK(plans.size() == 1);
  CHECK_EQ(plans[0].rows(), 12);
  CHECK(plans[0].bands.size() == 9);
  const size_t maxima = plans[0].row_steps.size() * 12 + plans[0].column_steps.size();
  CHECK_SAY(maxima < 500, "%zu maxima after the grid", maxima);
}

void test_half() {
  for (int i = 0; i < 65536; ++i) {
    const uint16_t x = static_cast<uint16_t>(i);
    CHECK(narrow_bf16(widen_bf16(x)) == x);
    CHECK(narrow_fp16(widen_fp16(x)) == x);
  }
}

}  // namespace

int main() {
  test_half();
  test_plan();
  test_everything();
  test_empty();
  test_errors();
  for (const Layout layout : kLayouts) {
    test_backward<float>(layout, Scalar::kFloat32);
    test_backward<double>(layout, Scalar::kFloat64);
  }
  return check::result();
}
