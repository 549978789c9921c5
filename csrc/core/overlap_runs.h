// Runs of equal ids in the rows of a map. Every file that includes this compiles it for its own instruction set.
#pragma once

#include <cstdint>

#include "core/overlap_kernels.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace mirror {
namespace overlap {
namespace {

// Writes the runs that begin among so many numbers, `first` of which is ids[first]: returns the bits where.
#if defined(__AVX512BW__)
constexpr int kNumbers = 16;
inline uint32_t write_runs(const int32_t* ids, int64_t first, int64_t count, int32_t* starts,
                           int32_t* run_ids) {
  __m512i here;
  __mmask16 begins;
  if (first > 0 && count - first >= 16) {
    here = _mm512_loadu_si512(ids + first);
    begins = _mm512_cmpneq_epi32_mask(here, _mm512_loadu_si512(ids + first - 1));
  } else {
    const __mmask16 there = static_cast<__mmask16>(count - first >= 16 ? 0xffff : (1 << (count - first)) - 1);
    const __mmask16 second =
        static_cast<__mmask16>(first == 0 ? there & ~1 : there);  // nothing before the very first
    here = _mm512_maskz_loadu_epi32(there, ids + first);
    const __m512i before = _mm512_maskz_loadu_epi32(second, ids + first - 1);
    begins = static_cast<__mmask16>(_mm512_mask_cmpneq_epi32_mask(second, here, before) | (there & ~second));
  }
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i places = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first)), lanes);
  _mm512_storeu_si512(starts, _mm512_maskz_compress_epi32(begins, places));
  _mm512_storeu_si512(run_ids, _mm512_maskz_compress_epi32(begins, here));
  return begins;
}
#elif defined(__AVX2__)
constexpr int kNumbers = 8;
// For every mask the lanes that it keeps, moved to the front.
struct Fronts {
  uint64_t lanes[256] = {};
  constexpr Fronts() {
    for (int mask = 0; mask < 256; ++mask)
      for (int lane = 0, at = 0; lane < 8; ++lane)
        if ((mask >> lane & 1) != 0) lanes[mask] |= static_cast<uint64_t>(lane) << 8 * at++;
  }
};
constexpr Fronts kFronts;

inline uint32_t write_runs(const int32_t* ids, int64_t first, int64_t count, int32_t* starts,
                           int32_t* run_ids) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i here, before;
  uint32_t there = 0xff, begins = 0;
  if (first > 0 && count - first >= 8) {
    here = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ids + first));
    before = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ids + first - 1));
  } else {
    const int left = static_cast<int>(count - first < 8 ? count - first : 8);
    const __m256i kept = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), lanes);
    here = _mm256_maskload_epi32(ids + first, kept);
    before = _mm256_permutevar8x32_epi32(here, _mm256_setr_epi32(0, 0, 1, 2, 3, 4, 5, 6));
    if (first > 0) before = _mm256_blend_epi32(before, _mm256_set1_epi32(ids[first - 1]), 1);
    there >>= 8 - left;
    begins = first == 0;  // nothing before the very first
  }
  const __m256i same = _mm256_cmpeq_epi32(here, before);
  begins = (begins | ~static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(same)))) & there;
  const __m256i front =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kFronts.lanes + begins)));
  const __m256i places = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first)), front);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(starts), places);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(run_ids), _mm256_permutevar8x32_epi32(here, front));
  return begins;
}
#else
constexpr int kNumbers = 1;
inline uint32_t write_runs(const int32_t* ids, int64_t first, int64_t, int32_t* starts, int32_t* run_ids) {
  *starts = static_cast<int32_t>(first);
  *run_ids = ids[first];
  return first == 0 || ids[first] != ids[first - 1];
}
#endif

int64_t find_runs(const int32_t* ids, int64_t count, int32_t* starts, int32_t* run_ids, RowMask* mask) {
  int64_t runs = 0;
  for (int64_t word = 0; word <= count / 64; ++word) {
    uint64_t bits = 0;
    mask[word].before = static_cast<int32_t>(runs);
    for (int64_t i = 64 * word; i < count && i < 64 * word + 64; i += kNumbers) {
      const uint32_t begins = write_runs(ids, i, count, starts + runs, run_ids + runs);
      bits |= static_cast<uint64_t>(begins) << (i & 63);
      runs += kNumbers == 1 ? static_cast<int>(begins) : __builtin_popcount(begins);
    }
    mask[word].bits = bits;
  }
  mask[count / 64].bits |= uint64_t{1} << count % 64;
  starts[runs] = static_cast<int32_t>(count);
  run_ids[runs] = -1;
  return runs;
}

uint32_t largest_id(const int32_t* ids, int64_t count) {
  uint32_t largest = 0;
  for (int64_t k = 0; k < count; ++k) {
    const uint32_t next = static_cast<uint32_t>(ids[k]) + 1u;
    largest = next > largest ? next : largest;
  }
  return largest;
}

void areas_of(const int32_t* starts, int64_t runs, int32_t* ids, uint32_t* areas) {
  for (int64_t k = 0; k < runs; ++k) {
    const int32_t shown = ~(ids[k] >> 31);  // all ones unless the id is -1
    areas[k] = static_cast<uint32_t>((starts[k + 1] - starts[k]) & shown);
    ids[k] &= shown;
  }
  areas[runs] = 0;
  ids[runs] = 0;
}

void runs_at(const RowMask* mask, const int32_t* pixels, int64_t count, int32_t* runs) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t pixel = static_cast<uint32_t>(pixels[i]);
    const RowMask& word = mask[pixel / 64];
    const uint64_t up_to = ~uint64_t{0} >> (63 - pixel % 64);
    runs[i] = word.before + __builtin_popcountll(word.bits & up_to) - 1;
  }
}

void add_up(const int32_t* ids, const uint32_t* areas, int64_t count, const uint64_t* bits,
            uint32_t* before) {
  uint32_t sum = 0;
  for (int64_t k = 0; k < count; ++k) {
    before[k] = sum;
    sum += areas[k] & -static_cast<uint32_t>(bits[ids[k] >> 6] >> (ids[k] & 63) & 1);
  }
  before[count] = sum;
}

}  // namespace
}  // namespace overlap
}  // namespace mirror
