#include <immintrin.h>

#include "core/overlap_blocks.h"
#include "core/overlap_runs.h"

namespace mirror {
namespace overlap {
namespace {

// The bits of each byte, looked up half a byte at a time.
inline __m256i bits_of_bytes(__m256i x) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                         0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble));
  return _mm256_add_epi8(low, _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi64(x, 4), nibble)));
}

// The bits that one set shares with each of four others, as 64-bit numbers.
inline __m256i shared_bits(const __m256i* own, const uint64_t* others) {
  __m256i bytes = _mm256_setzero_si256();  // at most 64 each
  for (int64_t w = 0; w < kBlockWords; ++w) {
    const __m256i other = _mm256_load_si256(reinterpret_cast<const __m256i*>(others + w * kLanes));
    bytes = _mm256_add_epi8(bytes, bits_of_bytes(_mm256_and_si256(own[w], other)));
  }
  return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
}

// lane = one of eight sets, all compared with the set of one row.
void count_block(const Block& block, int64_t first, int64_t last, int32_t* shared, int64_t stride) {
  for (int64_t i = first; i < last; ++i) {
    const uint64_t* const words = block.words + i / kLanes * kBlockWords * kLanes + i % kLanes;
    __m256i own[kBlockWords];
    for (int64_t w = 0; w < kBlockWords; ++w)
      own[w] = _mm256_set1_epi64x(static_cast<long long>(words[w * kLanes]));
    int32_t* const row = shared + block.views[i] * stride;
    for (int64_t g = i / kLanes; g < block.groups; ++g) {
      const uint64_t* const others = block.words + g * kBlockWords * kLanes;
      const int32_t* const views = block.views + g * kLanes;
      alignas(32) int64_t counts[kLanes];
      _mm256_store_si256(reinterpret_cast<__m256i*>(counts), shared_bits(own, others));
      _mm256_store_si256(reinterpret_cast<__m256i*>(counts + 4), shared_bits(own, others + 4));
      for (int64_t l = 0; l < kLanes; ++l) row[views[l]] += static_cast<int32_t>(counts[l]);
    }
  }
}

}  // namespace

Kernels avx2_kernels() {
  return {find_runs, largest_id, areas_of, runs_at, add_up, occupied, count_block, weigh_block};
}

}  // namespace overlap
}  // namespace mirror
