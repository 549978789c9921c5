// Max pooling of mirror/cuda.h on the CPU, through cuda_emulator.h: the bits of the CPU ops, for every storage type, both ways
// the features may lie, ties, NaNs, empty masks, and boxes that leave the map.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "core/pooling.cu"

namespace {

using namespace mirror;

size_t size_of(Scalar scalar) { return scalar == Scalar::kFloat64 ? 8 : scalar == Scalar::kFloat32 ? 4 : 2; }

struct Maps {
  std::vector<unsigned char> storage;
  FeatureMaps maps;

  // Few different numbers, so that there are ties; here and there a NaN.
  Maps(int64_t images, int64_t channels, int64_t height, int64_t width, bool channels_last, Scalar scalar,
       check::Random& random) {
    const int64_t cells = height * width, all = images * channels * cells;
    maps = {nullptr, images, channels, height, width, {channels * cells, cells, width, 1}, scalar};
    if (channels_last) maps.strides[1] = 1, maps.strides[2] = width * channels, maps.strides[3] = channels;
    storage.resize(static_cast<size_t>(all) * size_of(scalar) + 1);
    maps.data = storage.data();
    for (size_t i = 0; i < static_cast<size_t>(all); ++i) {
      const double x = random.below(90) == 0 ? NAN : static_cast<double>(random.below(9) - 4) / 4;
      const float f = static_cast<float>(x);
      const uint16_t half = scalar == Scalar::kBFloat16 ? narrow_bf16(f) : narrow_fp16(f);
      const void* const from = scalar == Scalar::kFloat64   ? static_cast<const void*>(&x)
                               : scalar == Scalar::kFloat32 ? static_cast<const void*>(&f)
                                                            : &half;
      std::memcpy(storage.data() + i * size_of(scalar), from, size_of(scalar));
    }
  }
};

struct Pooled {
  std::vector<unsigned char> values;
  std::vector<int32_t> argmax;
  Pooled(size_t count, Scalar scalar) : values(count * size_of(scalar) + 1, 0x55), argmax(count + 1, -9) {}
};

void check_same(const Pooled& got, const Pooled& expected, const char* what) {
  CHECK_SAY(got.values == expected.values, "%s: other bits", what);
  CHECK_SAY(got.argmax == expected.argmax, "%s: other argmax", what);
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
  const FeatureMaps& m = maps.maps;
  const std::vector<int64_t> boxes = random_boxes(count, m.height, m.width, random);
  const std::vector<int32_t> narrow(boxes.begin(), boxes.end());
  const size_t size = static_cast<size_t>(m.images * count * m.channels);
  Pooled expected(size, m.scalar), got(expected), other(expected);
  region_max_pool(m, {boxes.data(), count, false}, expected.values.data(), expected.argmax.data(), serial());
  cuda::region_max_pool(m, {boxes.data(), count, false}, got.values.data(), got.argmax.data(), nullptr);
  check_same(got, expected, "regions");
  cuda::region_max_pool(m, {narrow.data(), count, true}, other.values.data(), nullptr, nullptr);
  CHECK(other.values == expected.values);
}

void test_masks(const Maps& maps, check::Random& random) {
  const FeatureMaps& m = maps.maps;
  std::vector<uint8_t> mask(static_cast<size_t>(m.images * m.height * m.width) + 1);
  for (size_t i = static_cast<size_t>(m.height * m.width); i < mask.size(); ++i)  // the first keeps nothing
    mask[i] = static_cast<uint8_t>(random.below(3));
  Pooled expected(static_cast<size_t>(m.images * m.channels), m.scalar), got(expected);
  masked_max_pool(m, mask.data(), expected.values.data(), expected.argmax.data(), serial());
  cuda::masked_max_pool(m, mask.data(), got.values.data(), got.argmax.data(), nullptr);
  check_same(got, expected, "masks");
}

template <class T>
void test_backward(bool channels_last, Scalar scalar, check::Random& random) {
  const int64_t boxes = 6;
  Maps expected(2, 35, 4, 5, channels_last, scalar, random), got(expected);
  got.maps.data = got.storage.data();
  const size_t size = static_cast<size_t>(2 * boxes * 35);
  std::vector<T> grad;
  std::vector<int32_t> argmax;
  for (size_t i = 0; i < size; ++i) {
    grad.push_back(static_cast<T>(random.normal()));
    argmax.push_back(static_cast<int32_t>(random.below(20)));
  }
  max_pool_backward(grad.data(), argmax.data(), boxes, expected.maps, serial());
  cuda::max_pool_backward(grad.data(), argmax.data(), boxes, got.maps, nullptr);
  CHECK_SAY(got.storage == expected.storage, "gradient: other bits");
}

// Values on the device are not checked: what leaves the map is cut off, and nothing outside is read.
void test_boxes_outside() {
  std::vector<float> cells = {1, 2, 3, 4, 5, 6};
  for (const bool channels_last : {false, true}) {
    const int64_t channels = channels_last ? 6 : 1, width = channels_last ? 1 : 3,
                  height = channels_last ? 1 : 2;
    FeatureMaps maps{cells.data(), 1, channels, height, width, {6, 6, 3, 1}, Scalar::kFloat32};
    if (channels_last) maps.strides[1] = 1, maps.strides[2] = maps.strides[3] = 6;
    const int64_t boxes[][4] = {{-5, -5, 100, 100}, {0, 0, 0, 3}, {7, 0, 2, 2}, {0, 0, -4, 2}};
    std::vector<float> pooled(4 * 6);
    std::vector<int32_t> argmax(4 * 6);
    cuda::region_max_pool(maps, {boxes, 4, false}, pooled.data(), argmax.data(), nullptr);
    for (int64_t c = 0; c < channels; ++c) {
      CHECK_EQ(pooled[static_cast<size_t>(c)], channels_last ? cells[static_cast<size_t>(c)] : 6.0f);
      for (int64_t box = 1; box < 4; ++box) {
        CHECK(std::isnan(pooled[static_cast<size_t>(box * channels + c)]));
        CHECK_EQ(argmax[static_cast<size_t>(box * channels + c)], -1);
      }
    }
  }
}

}  // namespace

int main() {
  check::Random random(3);
  const int64_t shapes[][4] = {{2, 33, 7, 9}, {1, 9, 5, 40}, {2, 1, 1, 1}, {2, 0, 3, 3}, {0, 4, 3, 3}};
  for (const auto& shape : shapes)
    for (const bool channels_last : {false, true})
      for (const Scalar scalar : {Scalar::kFloat32, Scalar::kFloat64, Scalar::kBFloat16, Scalar::kFloat16}) {
        const Maps maps(shape[0], shape[1], shape[2], shape[3], channels_last, scalar, random);
        test_regions(maps, 12, random);
        test_regions(maps, 0, random);
        test_masks(maps, random);
      }
  for (const bool channels_last : {false, true}) {
    test_backward<float>(channels_last, Scalar::kFloat32, random);
    test_backward<double>(channels_last, Scalar::kFloat64, random);
  }
  test_boxes_outside();
  return check::result();
}
