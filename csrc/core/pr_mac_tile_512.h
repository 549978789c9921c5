// What the float32 and the bfloat16 kernel for AVX-512 share: tiles of 14 query rows x 32 target images, 28 accumulators
// of the 32 registers. Everything is internal to the including file.
#pragma once

#include "core/pr_mac_pack_avx.h"
#include "core/pr_mac_tiles.h"

namespace mirror {
namespace prmac {
namespace {

constexpr int kPanel = 14, kLanes = 32;
constexpr float kNone = -__builtin_inff();

// max(value, best) and not max(best, value): the second operand wins over NaN.
MIRROR_INLINE void keep(float* best, __m512 value) {
  _mm512_store_ps(best, _mm512_max_ps(value, _mm512_load_ps(best)));
}

MIRROR_INLINE void keep_index(float* best, int32_t* index, __m512 value, __m512i region) {
  const __mmask16 more = _mm512_cmp_ps_mask(value, _mm512_load_ps(best), _CMP_GT_OQ);
  _mm512_mask_store_ps(best, more, value);
  _mm512_mask_store_epi32(index, more, region);
}

// Column maxima of one tile: rows of one image are neighbours, so a maximum is flushed where the image changes.
MIRROR_INLINE void keep_columns(const Tile<float>& tile, int64_t row, int64_t region,
                                const __m512 (&sum)[kPanel][2]) {
  const int32_t* image = tile.row_image + row;
  const int64_t step = tile.region_count * kLanes;
  float* column = tile.column_best + region * kLanes;
  __m512 c0 = _mm512_set1_ps(kNone), c1 = c0;
  MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) {
    const __m512 bias = _mm512_set1_ps(tile.row_bias[row + i]);
    c0 = _mm512_max_ps(_mm512_sub_ps(sum[i][0], bias), c0);
    c1 = _mm512_max_ps(_mm512_sub_ps(sum[i][1], bias), c1);
    if (i + 1 == kPanel || image[i + 1] != image[i]) {
      keep(column + image[i] * step, c0);
      keep(column + image[i] * step + 16, c1);
      c0 = c1 = _mm512_set1_ps(kNone);
    }
  }
}

// Multiply::run gives the products of packed rows [steps, 14] and lanes [steps, 32]; steps are 4 bytes wide.
template <class Multiply, bool kIndex, bool kColumns>
__attribute__((noinline)) void multiply_tile(const Tile<float>& tile, int64_t panel, int64_t region) {
  const int64_t steps = Multiply::steps(tile.channels);
  const float* rows = static_cast<const float*>(tile.panels) + panel * steps * kPanel;
  const float* lanes = static_cast<const float*>(tile.regions) + region * steps * kLanes;
  __m512 sum[kPanel][2];
  Multiply::run(rows, lanes, steps, sum);
  const __m512 b0 = _mm512_loadu_ps(tile.bias + region * kLanes);
  const __m512 b1 = _mm512_loadu_ps(tile.bias + region * kLanes + 16);
  float* best = tile.best + panel * kPanel * kLanes;
  int32_t* index = tile.index + (kIndex ? panel * kPanel * kLanes : 0);
  const __m512i number = _mm512_set1_epi32(static_cast<int>(region));
  MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) {
    const __m512 v0 = _mm512_sub_ps(sum[i][0], b0), v1 = _mm512_sub_ps(sum[i][1], b1);
    if (kIndex) {
      keep_index(best + i * kLanes, index + i * kLanes, v0, number);
      keep_index(best + i * kLanes + 16, index + i * kLanes + 16, v1, number);
    } else {
      keep(best + i * kLanes, v0);
      keep(best + i * kLanes + 16, v1);
    }
  }
  if (kColumns) keep_columns(tile, panel * kPanel, region, sum);
}

template <class Multiply, bool kIndex, bool kColumns>
void multiply_all(const Tile<float>& tile) {
  for (int64_t r = 0; r < tile.region_count; ++r)
    for (int64_t p = 0; p < tile.panel_count; ++p) multiply_tile<Multiply, kIndex, kColumns>(tile, p, r);
}

template <class Multiply>
void multiply(const Tile<float>& tile) {
  if (tile.column_best)
    multiply_all<Multiply, false, true>(tile);
  else if (tile.index)
    multiply_all<Multiply, true, false>(tile);
  else
    multiply_all<Multiply, false, false>(tile);
}

}  // namespace
}  // namespace prmac
}  // namespace mirror
