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

// Bit i: ids[i] differs from the number before it. 64 numbers; before is readable.
inline uint64_t changes(const int32_t* ids) {
  uint64_t mask = 0;
#if defined(__AVX512BW__)
  for (int i = 0; i < 4; ++i) {
    const __m512i here = _mm512_loadu_si512(ids + 16 * i), before = _mm512_loadu_si512(ids + 16 * i - 1);
    mask |= static_cast<uint64_t>(_mm512_cmpneq_epi32_mask(here, before)) << 16 * i;
  }
#elif defined(__AVX2__)
  for (int i = 0; i < 8; ++i) {
    const __m256i here = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ids + 8 * i));
    const __m256i before = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ids + 8 * i - 1));
    const int same = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(here, before)));
    mask |= static_cast<uint64_t>(~same & 0xff) << 8 * i;
  }
#else
  for (int i = 0; i < 64; ++i) mask |= static_cast<uint64_t>(ids[i] != ids[i - 1]) << i;
#endif
  return mask;
}

// The positions of the bits, eight at a time: a loop of as many rounds for most words is cheaper than one that ends
// where nobody can foresee it.
inline int32_t* positions(uint64_t mask, int32_t offset, int32_t* out) {
  const int count = __builtin_popcountll(mask);
  for (int written = 0; written < count; written += 8)
    for (int i = 0; i < 8; ++i, mask &= mask - 1)
      out[written + i] = offset + (mask != 0 ? __builtin_ctzll(mask) : 0);
  return out + count;
}

int64_t run_starts(const int32_t* ids, int64_t count, int32_t* starts, uint64_t* mask) {
  int32_t* out = starts;
  for (int64_t first = 0; first <= count; first += 64) {
    uint64_t word = 0;
    if (first > 0 && first + 64 <= count) {
      word = changes(ids + first);
    } else {
      for (int64_t i = first; i < count && i < first + 64; ++i)
        word |= static_cast<uint64_t>(i == 0 || ids[i] != ids[i - 1]) << (i - first);
    }
    mask[first / 64] = word;
    out = positions(word, static_cast<int32_t>(first), out);
  }
  mask[count / 64] |= uint64_t{1} << count % 64;
  return out - starts;
}

void runs_at(const uint64_t* mask, const int32_t* pixels, int64_t count, int32_t* runs) {
  int64_t word = 0;
  int32_t before = 0;  // runs that begin in the words before
  for (int64_t i = 0; i < count; ++i) {
    for (; word < pixels[i] / 64; ++word) before += __builtin_popcountll(mask[word]);
    const uint64_t up_to = ~uint64_t{0} >> (63 - pixels[i] % 64);
    runs[i] = before + __builtin_popcountll(mask[word] & up_to) - 1;
  }
}

void add_row(const Runs& runs, const uint64_t* bits, const int64_t* edges, const int32_t* at, int64_t count,
             int64_t step, int64_t height, int32_t* prefix, int64_t* areas) {
  int32_t seen = 0;  // pixels so far whose triangle is in the set
  for (int64_t k = 0; k < runs.count; ++k) {
    prefix[k] = seen;
    const int32_t id = runs.ids[k];
    seen += runs.lengths[k] & -static_cast<int32_t>(bits[id >> 6] >> (id & 63) & 1);
  }
  prefix[runs.count] = seen;
  for (int64_t c = 0; c < count; ++c) {
    const int32_t k = at[c];
    const int64_t beyond = prefix[k + 1] != prefix[k] ? edges[c] - step * runs.starts[k] : 0;
    areas[c] += height * (step * prefix[k] + beyond);
  }
}

}  // namespace
}  // namespace overlap
}  // namespace mirror
