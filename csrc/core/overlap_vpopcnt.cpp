// AVX-512 VPOPCNTDQ, which the first processors with AVX-512 lack.
#include <immintrin.h>

#include "core/overlap_kernels.h"

namespace mirror {
namespace overlap {

// lane = one of eight sets, all compared with the set of one row.
void count_block_vpopcnt(const Block& block, int64_t first, int64_t last, int32_t* shared, int64_t stride) {
  for (int64_t i = first; i < last; ++i) {
    const uint64_t* const words = block.words + i / kLanes * kBlockWords * kLanes + i % kLanes;
    __m512i own[kBlockWords];
    for (int64_t w = 0; w < kBlockWords; ++w)
      own[w] = _mm512_set1_epi64(static_cast<long long>(words[w * kLanes]));
    int32_t* const row = shared + block.views[i] * stride;
    for (int64_t g = i / kLanes; g < block.groups; ++g) {
      const uint64_t* const others = block.words + g * kBlockWords * kLanes;
      const int32_t* const views = block.views + g * kLanes;
      __m512i counts = _mm512_setzero_si512();
      for (int64_t w = 0; w < kBlockWords; ++w) {
        const __m512i both = _mm512_and_si512(own[w], _mm512_load_si512(others + w * kLanes));
        counts = _mm512_add_epi64(counts, _mm512_popcnt_epi64(both));
      }
      alignas(32) int32_t narrow[kLanes];
      _mm256_store_si256(reinterpret_cast<__m256i*>(narrow), _mm512_cvtepi64_epi32(counts));
      for (int64_t l = 0; l < kLanes; ++l) row[views[l]] += narrow[l];
    }
  }
}

}  // namespace overlap
}  // namespace mirror
