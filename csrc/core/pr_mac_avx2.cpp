// pr_mac for AVX2 and FMA: tiles of 6 query rows x 16 target images, 12 accumulators of the 16 registers. Every product
// is one chain of fused multiply-adds over channels in rising order.
#include "core/pr_mac_pack_avx.h"
#include "core/pr_mac_tiles.h"

namespace mirror {
namespace prmac {
namespace {

constexpr int kPanel = 6, kLanes = 16;
constexpr float kNone = -__builtin_inff();

MIRROR_INLINE void products(const float* __restrict rows, const float* __restrict lanes, int64_t channels,
                            __m256 (&sum)[kPanel][2]) {
  MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
  for (int64_t c = 0; c < channels; ++c) {
    const __m256 t0 = _mm256_load_ps(lanes), t1 = _mm256_load_ps(lanes + 8);
    MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) {
      const __m256 q = _mm256_broadcast_ss(rows + i);
      sum[i][0] = _mm256_fmadd_ps(q, t0, sum[i][0]);
      sum[i][1] = _mm256_fmadd_ps(q, t1, sum[i][1]);
    }
    rows += kPanel;
    lanes += kLanes;
  }
}

// max(value, best) and not max(best, value): the second operand wins over NaN.
MIRROR_INLINE void keep(float* best, __m256 value) {
  _mm256_store_ps(best, _mm256_max_ps(value, _mm256_load_ps(best)));
}

MIRROR_INLINE void keep_index(float* best, int32_t* index, __m256 value, __m256 region) {
  const __m256 old = _mm256_load_ps(best);
  const __m256 more = _mm256_cmp_ps(value, old, _CMP_GT_OQ);
  float* where = reinterpret_cast<float*>(index);
  _mm256_store_ps(best, _mm256_blendv_ps(old, value, more));
  _mm256_store_ps(where, _mm256_blendv_ps(_mm256_load_ps(where), region, more));
}

// Column maxima of one tile: rows of one image are neighbours, so a maximum is flushed where the image changes.
MIRROR_INLINE void keep_columns(const Tile<float>& tile, int64_t row, int64_t region,
                                const __m256 (&sum)[kPanel][2]) {
  const int32_t* image = tile.row_image + row;
  const int64_t step = tile.region_count * kLanes;
  float* column = tile.column_best + region * kLanes;
  __m256 c0 = _mm256_set1_ps(kNone), c1 = c0;
  MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) {
    const __m256 bias = _mm256_broadcast_ss(tile.row_bias + row + i);
    c0 = _mm256_max_ps(_mm256_sub_ps(sum[i][0], bias), c0);
    c1 = _mm256_max_ps(_mm256_sub_ps(sum[i][1], bias), c1);
    if (i + 1 == kPanel || image[i + 1] != image[i]) {
      keep(column + image[i] * step, c0);
      keep(column + image[i] * step + 8, c1);
      c0 = c1 = _mm256_set1_ps(kNone);
    }
  }
}

template <bool kIndex, bool kColumns>
__attribute__((noinline)) void multiply_tile(const Tile<float>& tile, int64_t panel, int64_t region) {
  const float* rows = static_cast<const float*>(tile.panels) + panel * tile.channels * kPanel;
  const float* lanes = static_cast<const float*>(tile.regions) + region * tile.channels * kLanes;
  __m256 sum[kPanel][2];
  products(rows, lanes, tile.channels, sum);
  const __m256 b0 = _mm256_loadu_ps(tile.bias + region * kLanes),
               b1 = _mm256_loadu_ps(tile.bias + region * kLanes + 8);
  float* best = tile.best + panel * kPanel * kLanes;
  int32_t* index = tile.index + (kIndex ? panel * kPanel * kLanes : 0);
  const __m256 number = _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(region)));
  MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) {
    const __m256 v0 = _mm256_sub_ps(sum[i][0], b0), v1 = _mm256_sub_ps(sum[i][1], b1);
    if (kIndex) {
      keep_index(best + i * kLanes, index + i * kLanes, v0, number);
      keep_index(best + i * kLanes + 8, index + i * kLanes + 8, v1, number);
    } else {
      keep(best + i * kLanes, v0);
      keep(best + i * kLanes + 8, v1);
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
// Lanes in units of 8: three where that leaves none alone, else two.
int64_t strip_width(int64_t remaining) {
  const int64_t units = (remaining + 7) / 8;
  return 8 * (units >= 5 || units == 3 ? 3 : units >= 2 ? 2 : 1);
}

// kRows regions of the target at a time; beyond the last region the last one again, which changes no maximum.
template <int kRows, int kUnits>
__attribute__((noinline)) void strip_units(const Strip<float>& s) {
  __m256 best[kUnits];
  MIRROR_UNROLL for (int u = 0; u < kUnits; ++u) best[u] = _mm256_set1_ps(kNone);
  for (int64_t r = 0; r < s.regions; r += kRows) {
    const float* row[kRows];
    float bias[kRows];
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
      const int64_t region = r + i < s.regions ? r + i : s.regions - 1;
      row[i] = s.target + region * s.channels;
      bias[i] = s.bias[region];
    }
    __m256 sum[kRows][kUnits];
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) MIRROR_UNROLL for (int u = 0; u < kUnits; ++u) sum[i][u] =
        _mm256_setzero_ps();
    const float* lanes = s.lanes;
    for (int64_t c = 0; c < s.channels;) {
      fetch_ahead<kRows>(s, row, c);
      for (const int64_t end = line_end(c, s.channels); c < end; ++c, lanes += 8 * kUnits) {
        __m256 q[kUnits];
        MIRROR_UNROLL for (int u = 0; u < kUnits; ++u) q[u] = _mm256_load_ps(lanes + 8 * u);
        MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
          const __m256 t = _mm256_broadcast_ss(row[i] + c);
          MIRROR_UNROLL for (int u = 0; u < kUnits; ++u) sum[i][u] = _mm256_fmadd_ps(t, q[u], sum[i][u]);
        }
      }
    }
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) MIRROR_UNROLL for (int u = 0; u < kUnits; ++u) best[u] =
        _mm256_max_ps(_mm256_sub_ps(sum[i][u], _mm256_set1_ps(bias[i])), best[u]);
  }
  MIRROR_UNROLL for (int u = 0; u < kUnits; ++u) _mm256_storeu_ps(s.best + 8 * u, best[u]);
}

void strip(const Strip<float>& s) {
  if (s.width == 24)
    strip_units<4, 3>(s);
  else if (s.width == 16)
    strip_units<6, 2>(s);
  else if (s.regions > 4)
    strip_units<8, 1>(s);
  else
    strip_units<4, 1>(s);
}

}  // namespace

const Kernel<float> kAvx2 = {kPanel,
                             kLanes,
                             192 * 1024,
                             Floats::bytes<kPanel>,
                             Floats::bytes<kLanes>,
                             pack_rows<kPanel, Floats>,
                             pack_rows<kLanes, Floats>,
                             multiply,
                             strip_width,
                             strip};

}  // namespace prmac
}  // namespace mirror
