// pr_mac with products of bfloat16 vectors in AMX tiles: 32 query rows x 32 target images at a time, 2 x 2 tiles of
// sums. All target regions pass one panel of rows, which stays in the first-level cache.
//
//                        tile 6: images 0..15   tile 7: images 16..31      32 channels of one target region
//   tile 4: rows  0..15        tile 0                 tile 1
//   tile 5: rows 16..31        tile 2                 tile 3
//
// The maxima of one region are taken, a few rows at a time, between the products of the next one: they use other parts
// of the processor.
#include "core/amx_tile.h"
#include "core/pr_mac_bf16.h"
#include "core/pr_mac_tiles.h"

namespace mirror {
namespace prmac {
namespace {

constexpr int kPanel = 32, kLanes = 32, kHalf = 16;
constexpr int kStepChannels = 32;         // channels of a tile
constexpr int64_t kTileFloats = 16 * 16;  // 1 KB
constexpr float kNone = -__builtin_inff();

int64_t steps_of(int64_t channels) {
  return channels > 0 ? (channels + kStepChannels - 1) / kStepChannels : 1;
}
int64_t packed_bytes(int64_t channels) { return steps_of(channels) * 2 * kTileFloats * 4; }

// Pairs of channels of a row, zero beyond its end: 16 of them from pair s on.
MIRROR_INLINE __m512 load_pairs(const float* row, int64_t s, int64_t channels) {
  alignas(64) float pairs[kHalf];
  if (row && 2 * s + kStepChannels <= channels) {
    _mm256_store_ps(pairs, Bf16Pairs::load(row, s));
    _mm256_store_ps(pairs + 8, Bf16Pairs::load(row, s + 8));
  } else {
    for (int64_t i = 0; i < kHalf; ++i)
      pairs[i] = row && s + i < Bf16Pairs::steps(channels) ? Bf16Pairs::step(row, s + i, channels) : 0.f;
  }
  return _mm512_load_ps(pairs);
}

// [step][row half][row][16 pairs]
void pack_panel(const float* const* rows, int64_t channels, void* packed) {
  float* out = static_cast<float*>(packed);
  for (int64_t k = 0; k < steps_of(channels); ++k)
    for (int i = 0; i < kPanel; ++i, out += kHalf)
      _mm512_store_ps(out, load_pairs(rows[i], k * kHalf, channels));
}

// [step][image half][16 pairs][image]
void pack_region(const float* const* rows, int64_t channels, void* packed) {
  float* out = static_cast<float*>(packed);
  for (int64_t k = 0; k < steps_of(channels); ++k)
    for (int i = 0; i < kLanes; i += 8) {
      alignas(64) float pairs[8][kHalf];
      for (int j = 0; j < 8; ++j) _mm512_store_ps(pairs[j], load_pairs(rows[i + j], k * kHalf, channels));
      float* tile = out + (k * 2 + i / kHalf) * kTileFloats + i % kHalf;
      for (int half = 0; half < kHalf; half += 8) {
        __m256 v[8];
        MIRROR_UNROLL for (int j = 0; j < 8; ++j) v[j] = _mm256_load_ps(pairs[j] + half);
        transpose(v);
        MIRROR_UNROLL for (int j = 0; j < 8; ++j) _mm256_store_ps(tile + (half + j) * kHalf, v[j]);
      }
    }
}

// max(value, best) and not max(best, value): the second operand wins over NaN.
MIRROR_INLINE void keep(float* best, __m512 value) {
  _mm512_store_ps(best, _mm512_max_ps(value, _mm512_load_ps(best)));
}

MIRROR_INLINE void keep_index(float* best, int32_t* index, __m512 value, __m512i region) {
  const __mmask16 more = _mm512_cmp_ps_mask(value, _mm512_load_ps(best), _CMP_GT_OQ);
  _mm512_mask_store_ps(best, more, value);
  _mm512_mask_store_epi32(index, more, region);
}

// Takes the products of one panel and one region, row by row.
template <bool kIndex, bool kColumns>
class Maxima {
 public:
  __attribute__((always_inline)) Maxima(const Tile<float>& tile, int64_t panel, const float* products)
      : tile_(tile), first_(panel * kPanel), products_(products) {}

  __attribute__((always_inline)) void start(int64_t region) {
    region_ = region;
    row_ = 0;
    b0_ = _mm512_loadu_ps(tile_.bias + region * kLanes);
    b1_ = _mm512_loadu_ps(tile_.bias + region * kLanes + kHalf);
    c0_ = c1_ = _mm512_set1_ps(kNone);
  }

  __attribute__((always_inline)) void rows(int64_t count) {
    for (const int64_t end = row_ + count < kPanel ? row_ + count : kPanel; row_ < end; ++row_) row(row_);
  }

 private:
  // products [image half][row][image]
  __attribute__((always_inline)) void row(int64_t i) {
    const __m512 s0 = _mm512_load_ps(products_ + i * kHalf),
                 s1 = _mm512_load_ps(products_ + (kPanel + i) * kHalf);
    const __m512 v0 = _mm512_sub_ps(s0, b0_), v1 = _mm512_sub_ps(s1, b1_);
    const int64_t row = first_ + i;
    float* best = tile_.best + row * kLanes;
    if (kIndex) {
      const __m512i number = _mm512_set1_epi32(static_cast<int>(region_));
      keep_index(best, tile_.index + row * kLanes, v0, number);
      keep_index(best + kHalf, tile_.index + row * kLanes + kHalf, v1, number);
    } else {
      keep(best, v0);
      keep(best + kHalf, v1);
    }
    if (!kColumns) return;
    const __m512 bias = _mm512_set1_ps(tile_.row_bias[row]);
    c0_ = _mm512_max_ps(_mm512_sub_ps(s0, bias), c0_);
    c1_ = _mm512_max_ps(_mm512_sub_ps(s1, bias), c1_);
    // Rows of one image are neighbours: its maximum is complete where the image changes.
    const int32_t image = tile_.row_image[row];
    if (i + 1 < kPanel && tile_.row_image[row + 1] == image) return;
    float* column = tile_.column_best + (image * tile_.region_count + region_) * kLanes;
    keep(column, c0_);
    keep(column + kHalf, c1_);
    c0_ = c1_ = _mm512_set1_ps(kNone);
  }

  const Tile<float>& tile_;
  int64_t first_;
  const float* products_;
  int64_t region_ = 0, row_ = 0;
  __m512 b0_, b1_, c0_, c1_;
};

template <bool kIndex, bool kColumns>
__attribute__((noinline)) void multiply_panel(const Tile<float>& tile, int64_t panel, float* products,
                                              const char*& upcoming) {
  const int64_t steps = steps_of(tile.channels), region_floats = steps * 2 * kTileFloats;
  const float* rows = static_cast<const float*>(tile.panels) + panel * region_floats;
  const float* lanes = static_cast<const float*>(tile.regions);
  const int64_t rows_per_step = (kPanel + steps - 1) / steps;
  Maxima<kIndex, kColumns> maxima(tile, panel, products);
  for (int64_t r = 0; r < tile.region_count; ++r) {
    MIRROR_TILE_ZERO(0);
    MIRROR_TILE_ZERO(1);
    MIRROR_TILE_ZERO(2);
    MIRROR_TILE_ZERO(3);
    const float* a = rows;
    for (int64_t k = 0; k < steps; ++k, a += 2 * kTileFloats, lanes += 2 * kTileFloats, upcoming += 64) {
      MIRROR_TILE_LOAD(6, lanes, 64);
      MIRROR_TILE_LOAD(7, lanes + kTileFloats, 64);
      MIRROR_TILE_LOAD(4, a, 64);
      MIRROR_TILE_LOAD(5, a + kTileFloats, 64);
      MIRROR_TILE_DPBF16PS(0, 4, 6);
      MIRROR_TILE_DPBF16PS(1, 4, 7);
      MIRROR_TILE_DPBF16PS(2, 5, 6);
      MIRROR_TILE_DPBF16PS(3, 5, 7);
      _mm_prefetch(upcoming, _MM_HINT_T1);
      if (r > 0) maxima.rows(rows_per_step);
    }
    MIRROR_TILE_STORE(0, products, 64);
    MIRROR_TILE_STORE(2, products + kTileFloats, 64);
    MIRROR_TILE_STORE(1, products + 2 * kTileFloats, 64);
    MIRROR_TILE_STORE(3, products + 3 * kTileFloats, 64);
    maxima.start(r);
  }
  if (tile.region_count > 0) maxima.rows(kPanel);
}

template <bool kIndex, bool kColumns>
void multiply_all(const Tile<float>& tile) {
  alignas(64) float products[4 * kTileFloats];
  const char* upcoming = static_cast<const char*>(tile.upcoming ? tile.upcoming : tile.regions);
  const TileConfig config = TileConfig::full();
  MIRROR_TILE_CONFIG(config);
  for (int64_t p = 0; p < tile.panel_count; ++p)
    multiply_panel<kIndex, kColumns>(tile, p, products, upcoming);
  MIRROR_TILE_RELEASE();
}

void multiply(const Tile<float>& tile) {
  if (tile.column_best)
    multiply_all<false, true>(tile);
  else if (tile.index)
    multiply_all<true, false>(tile);
  else
    multiply_all<false, false>(tile);
}

}  // namespace

#if defined(MIRROR_AMX_EMULATE)
extern const Kernel<float> kAmxBf16Emulated;
const Kernel<float> kAmxBf16Emulated
#else
const Kernel<float> kAmxBf16
#endif
    = {kPanel,     kLanes,      512 * 1024, packed_bytes, packed_bytes,
       pack_panel, pack_region, multiply,   nullptr,      nullptr};

}  // namespace prmac
}  // namespace mirror
