// pr_mac for AVX-512: tiles of 14 query rows x 32 target images, 28 accumulators of the 32 registers. Every product is
// one chain of fused multiply-adds over channels in rising order, the same bits as the AVX2 kernel.
#if defined(__GNUC__) && !defined(__clang__)  // gcc 12's own header: a masked form of max_ps reads an undefined value
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "core/pr_mac_pack_avx.h"
#include "core/pr_mac_tiles.h"

namespace mirror {
namespace prmac {
namespace {

constexpr int kPanel = 14, kLanes = 32;
constexpr float kNone = -__builtin_inff();

MIRROR_INLINE void products(const float* __restrict rows, const float* __restrict lanes, int64_t channels,
                            __m512 (&sum)[kPanel][2]) {
  MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
  for (int64_t c = 0; c < channels; ++c) {
    const __m512 t0 = _mm512_load_ps(lanes), t1 = _mm512_load_ps(lanes + 16);
    MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) {
      const __m512 q = _mm512_set1_ps(rows[i]);
      sum[i][0] = _mm512_fmadd_ps(q, t0, sum[i][0]);
      sum[i][1] = _mm512_fmadd_ps(q, t1, sum[i][1]);
    }
    rows += kPanel;
    lanes += kLanes;
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

// Column maxima of one tile: rows of one image are neighbours, so a maximum is flushed where the image changes.
MIRROR_INLINE void keep_columns(const Tile<float>& tile, int64_t row, int64_t region, const __m512 (&sum)[kPanel][2]) {
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

template <bool kIndex, bool kColumns>
__attribute__((noinline)) void multiply_tile(const Tile<float>& tile, int64_t panel, int64_t region) {
  const float* rows = static_cast<const float*>(tile.panels) + panel * tile.channels * kPanel;
  const float* lanes = static_cast<const float*>(tile.regions) + region * tile.channels * kLanes;
  __m512 sum[kPanel][2];
  products(rows, lanes, tile.channels, sum);
  const __m512 b0 = _mm512_loadu_ps(tile.bias + region * kLanes), b1 = _mm512_loadu_ps(tile.bias + region * kLanes + 16);
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

template <bool kIndex, bool kColumns>
void multiply_all(const Tile<float>& tile) {
  for (int64_t r = 0; r < tile.region_count; ++r)
    for (int64_t p = 0; p < tile.panel_count; ++p) multiply_tile<kIndex, kColumns>(tile, p, r);
}

void multiply(const Tile<float>& tile) {
  if (tile.column_best)
    multiply_all<false, true>(tile);
  else if (tile.index)
    multiply_all<true, false>(tile);
  else
    multiply_all<false, false>(tile);
}

// ---- re-ranking -----------------------------------------------------------------------------------------------------
// Lanes in units of 8: pairs of units in 512-bit registers, an odd one in a 256-bit register, so that 35 regions take
// 40 lanes and not 48.
int64_t strip_width(int64_t remaining) {
  const int64_t units = (remaining + 7) / 8;
  return 8 * (units <= 6 ? units : units <= 8 ? 4 : 6);
}

// kRows regions of the target at a time; beyond the last region the last one again, which changes no maximum.
// Lanes: kWide registers of 16 and, if kNarrow, one of 8.
template <int kRows, int kWide, bool kNarrow>
__attribute__((noinline)) void strip_rows(const Strip<float>& s) {
  __m512 best[kWide + 1];
  __m256 narrow_best = _mm256_set1_ps(kNone);
  MIRROR_UNROLL for (int u = 0; u < kWide; ++u) best[u] = _mm512_set1_ps(kNone);
  for (int64_t r = 0; r < s.regions; r += kRows) {
    const float* row[kRows];
    float bias[kRows];
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
      const int64_t region = r + i < s.regions ? r + i : s.regions - 1;
      row[i] = s.target + region * s.channels;
      bias[i] = s.bias[region];
    }
    __m512 sum[kRows][kWide + 1];
    __m256 narrow[kRows];
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
      MIRROR_UNROLL for (int u = 0; u < kWide; ++u) sum[i][u] = _mm512_setzero_ps();
      narrow[i] = _mm256_setzero_ps();
    }
    const float* lanes = s.lanes;
    for (int64_t c = 0; c < s.channels; ++c, lanes += 16 * kWide + 8 * kNarrow) {
      __m512 q[kWide + 1];
      MIRROR_UNROLL for (int u = 0; u < kWide; ++u) q[u] = _mm512_loadu_ps(lanes + 16 * u);
      const __m256 q_narrow = kNarrow ? _mm256_loadu_ps(lanes + 16 * kWide) : _mm256_setzero_ps();
      MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
        const __m512 t = _mm512_set1_ps(row[i][c]);
        MIRROR_UNROLL for (int u = 0; u < kWide; ++u) sum[i][u] = _mm512_fmadd_ps(t, q[u], sum[i][u]);
        if (kNarrow) narrow[i] = _mm256_fmadd_ps(_mm512_castps512_ps256(t), q_narrow, narrow[i]);
      }
    }
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
      MIRROR_UNROLL for (int u = 0; u < kWide; ++u)
        best[u] = _mm512_max_ps(_mm512_sub_ps(sum[i][u], _mm512_set1_ps(bias[i])), best[u]);
      if (kNarrow) narrow_best = _mm256_max_ps(_mm256_sub_ps(narrow[i], _mm256_set1_ps(bias[i])), narrow_best);
    }
  }
  MIRROR_UNROLL for (int u = 0; u < kWide; ++u) _mm512_storeu_ps(s.best + 16 * u, best[u]);
  if (kNarrow) _mm256_storeu_ps(s.best + 16 * kWide, narrow_best);
}

// Of 5, 7 and 8 rows at a time, the most that waste the least: 35 regions are 5 times 7.
template <int kWide, bool kNarrow>
void strip_lanes(const Strip<float>& s) {
  auto rows = [&](int64_t step) { return (s.regions + step - 1) / step * step; };
  if (rows(8) <= rows(7) && rows(8) <= rows(5))
    strip_rows<8, kWide, kNarrow>(s);
  else if (rows(7) <= rows(5))
    strip_rows<7, kWide, kNarrow>(s);
  else
    strip_rows<5, kWide, kNarrow>(s);
}

void strip(const Strip<float>& s) {
  switch (s.width / 8) {
    case 1: return strip_lanes<0, true>(s);
    case 2: return strip_lanes<1, false>(s);
    case 3: return strip_lanes<1, true>(s);
    case 4: return strip_lanes<2, false>(s);
    case 5: return strip_lanes<2, true>(s);
    default: return strip_lanes<3, false>(s);
  }
}

}  // namespace

const Kernel<float> kAvx512 = {
    kPanel,   kLanes,      384 * 1024, packed_bytes<kPanel>, packed_bytes<kLanes>, pack_rows<kPanel>, pack_rows<kLanes>,
    multiply, strip_width, strip};

}  // namespace prmac
}  // namespace mirror
