// pr_mac for AVX-512. Every product is one chain of fused multiply-adds over channels in rising order, the same bits as
// the AVX2 kernel.
#include "core/pr_mac_tile_512.h"

namespace mirror {
namespace prmac {
namespace {

struct Fma {
  static int64_t steps(int64_t channels) { return channels; }
  MIRROR_INLINE void run(const float* __restrict rows, const float* __restrict lanes, int64_t steps,
                         __m512 (&sum)[kPanel][2]) {
    MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (int64_t c = 0; c < steps; ++c) {
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
};

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
    for (int64_t c = 0; c < s.channels;) {
      fetch_ahead<kRows>(s, row, c);
      for (const int64_t end = line_end(c, s.channels); c < end; ++c, lanes += 16 * kWide + 8 * kNarrow) {
        __m512 q[kWide + 1];
        MIRROR_UNROLL for (int u = 0; u < kWide; ++u) q[u] = _mm512_loadu_ps(lanes + 16 * u);
        const __m256 q_narrow = kNarrow ? _mm256_loadu_ps(lanes + 16 * kWide) : _mm256_setzero_ps();
        MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
          const __m512 t = _mm512_set1_ps(row[i][c]);
          MIRROR_UNROLL for (int u = 0; u < kWide; ++u) sum[i][u] = _mm512_fmadd_ps(t, q[u], sum[i][u]);
          if (kNarrow) narrow[i] = _mm256_fmadd_ps(_mm512_castps512_ps256(t), q_narrow, narrow[i]);
        }
      }
    }
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
      MIRROR_UNROLL for (int u = 0; u < kWide; ++u) best[u] =
          _mm512_max_ps(_mm512_sub_ps(sum[i][u], _mm512_set1_ps(bias[i])), best[u]);
      if (kNarrow)
        narrow_best = _mm256_max_ps(_mm256_sub_ps(narrow[i], _mm256_set1_ps(bias[i])), narrow_best);
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
    case 1:
      return strip_lanes<0, true>(s);
    case 2:
      return strip_lanes<1, false>(s);
    case 3:
      return strip_lanes<1, true>(s);
    case 4:
      return strip_lanes<2, false>(s);
    case 5:
      return strip_lanes<2, true>(s);
    default:
      return strip_lanes<3, false>(s);
  }
}

}  // namespace

const Kernel<float> kAvx512 = {kPanel,
                               kLanes,
                               384 * 1024,
                               Floats::bytes<kPanel>,
                               Floats::bytes<kLanes>,
                               pack_rows<kPanel, Floats>,
                               pack_rows<kLanes, Floats>,
                               multiply<Fma>,
                               strip_width,
                               strip};

}  // namespace prmac
}  // namespace mirror
