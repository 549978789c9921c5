// pr_mac with products of bfloat16 vectors in AVX512-BF16: two channels per multiply-add, sums in float32.
#include "core/pr_mac_bf16.h"
#include "core/pr_mac_tile_512.h"

namespace mirror {
namespace prmac {
namespace {

struct Dot {
  static int64_t steps(int64_t channels) { return Bf16Pairs::steps(channels); }
  MIRROR_INLINE void run(const float* __restrict rows, const float* __restrict lanes, int64_t steps,
                         __m512 (&sum)[kPanel][2]) {
    MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (int64_t s = 0; s < steps; ++s) {
      const __m512bh t0 = reinterpret_cast<__m512bh>(_mm512_load_ps(lanes));
      const __m512bh t1 = reinterpret_cast<__m512bh>(_mm512_load_ps(lanes + 16));
      MIRROR_UNROLL for (int i = 0; i < kPanel; ++i) {
        const __m512bh q = reinterpret_cast<__m512bh>(_mm512_set1_ps(rows[i]));
        sum[i][0] = _mm512_dpbf16_ps(sum[i][0], q, t0);
        sum[i][1] = _mm512_dpbf16_ps(sum[i][1], q, t1);
      }
      rows += kPanel;
      lanes += kLanes;
    }
  }
};

}  // namespace

const Kernel<float> kAvx512Bf16 = {kPanel,
                                   kLanes,
                                   384 * 1024,
                                   Bf16Pairs::bytes<kPanel>,
                                   Bf16Pairs::bytes<kLanes>,
                                   pack_rows<kPanel, Bf16Pairs>,
                                   pack_rows<kLanes, Bf16Pairs>,
                                   multiply<Dot>,
                                   nullptr,
                                   nullptr};

}  // namespace prmac
}  // namespace mirror
