// pr_mac kernels in plain C++, for any processor and for float64: multiply and add over channels in rising order.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "core/pr_mac_tiles.h"

namespace mirror {
namespace prmac {
namespace {

constexpr int kPanel = 4, kLanes = 8;

template <class T, int kWidth>
int64_t packed_bytes(int64_t channels) {
  return channels * kWidth * static_cast<int64_t>(sizeof(T));
}

// packed [channels, kWidth]
template <class T, int kWidth>
void pack(const T* const* rows, int64_t channels, void* packed) {
  T* out = static_cast<T*>(packed);
  for (int i = 0; i < kWidth; ++i)
    for (int64_t c = 0; c < channels; ++c) out[c * kWidth + i] = rows[i] ? rows[i][c] : T(0);
}

template <class T>
void products(const T* rows, const T* lanes, int64_t channels, T (&sum)[kPanel][kLanes]) {
  for (auto& line : sum)
    for (T& x : line) x = 0;
  for (int64_t c = 0; c < channels; ++c)
    for (int i = 0; i < kPanel; ++i)
      for (int l = 0; l < kLanes; ++l) sum[i][l] += rows[c * kPanel + i] * lanes[c * kLanes + l];
}

template <class T>
void update(const Tile<T>& tile, int64_t panel, int64_t region, const T (&sum)[kPanel][kLanes]) {
  for (int i = 0; i < kPanel; ++i) {
    const int64_t row = panel * kPanel + i;
    for (int l = 0; l < kLanes; ++l) {
      const T value = sum[i][l] - tile.bias[region * kLanes + l];
      if (!(value > tile.best[row * kLanes + l])) continue;
      tile.best[row * kLanes + l] = value;
      if (tile.index) tile.index[row * kLanes + l] = static_cast<int32_t>(region);
    }
    if (!tile.column_best) continue;
    T* column = tile.column_best + (tile.row_image[row] * tile.region_count + region) * kLanes;
    for (int l = 0; l < kLanes; ++l) {
      const T value = sum[i][l] - tile.row_bias[row];
      if (value > column[l]) column[l] = value;
    }
  }
}

template <class T>
void multiply(const Tile<T>& tile) {
  for (int64_t r = 0; r < tile.region_count; ++r) {
    const T* lanes = static_cast<const T*>(tile.regions) + r * tile.channels * kLanes;
    for (int64_t p = 0; p < tile.panel_count; ++p) {
      T sum[kPanel][kLanes];
      products(static_cast<const T*>(tile.panels) + p * tile.channels * kPanel, lanes, tile.channels, sum);
      update(tile, p, r, sum);
    }
  }
}

int64_t strip_width(int64_t) { return kLanes; }

template <class T>
void strip(const Strip<T>& s) {
  std::fill(s.best, s.best + kLanes, -std::numeric_limits<T>::infinity());
  for (int64_t r = 0; r < s.regions; ++r) {
    const T* row = s.target + r * s.channels;
    T sum[kLanes] = {};
    for (int64_t c = 0; c < s.channels; ++c)
      for (int l = 0; l < kLanes; ++l) sum[l] += s.lanes[c * kLanes + l] * row[c];
    for (int l = 0; l < kLanes; ++l) {
      const T value = sum[l] - s.bias[r];
      if (value > s.best[l]) s.best[l] = value;
    }
  }
}

template <class T>
constexpr Kernel<T> portable_kernel() {
  return {kPanel,
          kLanes,
          192 * 1024,
          packed_bytes<T, kPanel>,
          packed_bytes<T, kLanes>,
          pack<T, kPanel>,
          pack<T, kLanes>,
          multiply<T>,
          strip_width,
          strip<T>};
}

#if MIRROR_X86
const Kernel<float>& exact_kernel(Isa isa) {
  switch (isa) {
    case Isa::kAvx2:
      return kAvx2;
    case Isa::kAvx512:
    case Isa::kAmx:
      return kAvx512;
    case Isa::kPortable:
      break;
  }
  return kPortableFloat;
}
#endif

}  // namespace

const Kernel<float> kPortableFloat = portable_kernel<float>();
const Kernel<double> kPortableDouble = portable_kernel<double>();

template <>
const Kernel<double>& select_kernel<double>(Precision) {
  return kPortableDouble;
}

template <>
const Kernel<float>& select_kernel<float>(Precision precision) {
  const Isa isa = isa_selected();
#if MIRROR_X86
  if (precision == Precision::kBf16) {
    if (isa == Isa::kAmx) return kAmxBf16;
    if (isa == Isa::kAvx512 && has_avx512_bf16()) return kAvx512Bf16;
  }
  return exact_kernel(isa);
#else
  (void)isa, (void)precision;
  return kPortableFloat;
#endif
}

}  // namespace prmac
}  // namespace mirror
