// What the AVX-512 and AMX kernels share: ranking a panel's products, sixteen columns to a register.
//
// Inside a panel the low ten bits of a key are (31 - tile) << 5 | (31 - row): among the keys of one row they order by
// tile, among those of one column by row, so one key serves both directions. The missing half of the index (the lane,
// or the panel) takes the place of the useless half when a row or a panel is finished.
//
// Keys are compared as floats: Intel has two ports for vmaxps, one for vpmaxsd. The caller keeps denormals enabled
// (core/float_mode.h), because keys of tiny products are denormal.
#pragma once

#include <immintrin.h>

#include "core/match_kernel_block.h"

namespace mirror {
namespace {

#define MIRROR_INLINE inline __attribute__((always_inline))
#define MIRROR_UNROLL _Pragma("GCC unroll 16")

using Keys = __m512i;  // of sixteen columns

MIRROR_INLINE Keys larger(Keys a, Keys b) {
  return _mm512_castps_si512(_mm512_max_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}
MIRROR_INLINE Keys smaller(Keys a, Keys b) {
  return _mm512_castps_si512(_mm512_min_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b)));
}

// The two largest keys, lane by lane.
struct TopTwo {
  Keys first;
  Keys second;
};

MIRROR_INLINE TopTwo top_two(Keys a, Keys b) { return {larger(a, b), smaller(a, b)}; }
MIRROR_INLINE TopTwo top_two(const TopTwo& a, const TopTwo& b) {
  return {larger(a.first, b.first), larger(smaller(a.first, b.first), larger(a.second, b.second))};
}
MIRROR_INLINE TopTwo top_two(Keys a, Keys b, Keys c, Keys d) { return top_two(top_two(a, b), top_two(c, d)); }

// Low bits of keys, in the high bits of a word, where vpshldd takes them from.
struct LowBits {
  uint32_t at[kBlockTiles][kPanelRows];
  constexpr LowBits() : at() {
    for (uint32_t t = 0; t < kBlockTiles; ++t)
      for (uint32_t r = 0; r < kPanelRows; ++r) at[t][r] = ((31 - t) << 5 | (31 - r)) << (32 - kKeyBits);
  }
};
alignas(64) constexpr LowBits kLowBits;

template <bool kVbmi2>
MIRROR_INLINE Keys make_keys(__m512i products, const uint32_t& low_bits) {
  if constexpr (kVbmi2) {
    Keys keys;  // assembly: the file's other functions must also run where VBMI2 is missing
    asm("vpshldd $10, %2%{1to16%}, %1, %0" : "=v"(keys) : "v"(products), "m"(low_bits));
    return keys;
  } else {
    const __m512i low = _mm512_set1_epi32(static_cast<int>(low_bits >> (32 - kKeyBits)));
    return _mm512_or_si512(_mm512_slli_epi32(products, kKeyBits), low);
  }
}

// The two largest keys of every row of the panel in progress, in sixteen lanes.
struct alignas(64) PanelRowKeys {
  int32_t first[kPanelRows][16];
  int32_t second[kPanelRows][16];

  MIRROR_INLINE void clear() {
    for (int r = 0; r < kPanelRows; ++r) {
      _mm512_store_si512(first[r], _mm512_setzero_si512());
      _mm512_store_si512(second[r], _mm512_setzero_si512());
    }
  }
  MIRROR_INLINE void add(int r, const TopTwo& more) {
    const TopTwo sum = top_two({_mm512_load_si512(first[r]), _mm512_load_si512(second[r])}, more);
    _mm512_store_si512(first[r], sum.first);
    _mm512_store_si512(second[r], sum.second);
  }
};

// One step of a transposing reduction: lanes that differ in bit `kStep` hold different rows afterwards.
//   a: 0 1 2 3 ...   b: 0 1 2 3 ...   ->   a0+a1 b0+b1 a2+a3 b2+b3 ...   (kStep = 1; + is top_two)
template <int kStep>
MIRROR_INLINE TopTwo fold(const TopTwo& a, const TopTwo& b) {
  constexpr __mmask16 kFromB = kStep == 8 ? 0xff00 : kStep == 4 ? 0xf0f0 : kStep == 2 ? 0xcccc : 0xaaaa;
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  // Lane l of the other operand: from a, lane l + kStep, where l lacks the bit; else from b, lane l - kStep.
  const __m512i other = _mm512_xor_si512(_mm512_mask_or_epi32(lane, kFromB, lane, _mm512_set1_epi32(16)),
                                         _mm512_set1_epi32(kStep));
  auto kept = [&](Keys x, Keys y) { return _mm512_mask_blend_epi32(kFromB, x, y); };
  auto moved = [&](Keys x, Keys y) { return _mm512_permutex2var_epi32(x, other, y); };
  return top_two({kept(a.first, b.first), kept(a.second, b.second)},
                 {moved(a.first, b.first), moved(a.second, b.second)});
}

// Lane keys of 16 rows -> one key per row, its low bits 1023 - column.
MIRROR_INLINE void finish_rows(const int32_t (*first)[16], const int32_t (*second)[16], int32_t* row_first,
                               int32_t* row_second) {
  const __m512i lane = _mm512_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  TopTwo rows[16];
  // (31 - tile) << 5 | ... -> (31 - tile) << 5 | (15 - lane)
  auto with_lane = [&](const int32_t* keys) {
    return _mm512_ternarylogic_epi32(_mm512_load_si512(keys), _mm512_set1_epi32(~31), lane, 0xea);
  };
  MIRROR_UNROLL for (int r = 0; r < 16; ++r) rows[r] = {with_lane(first[r]), with_lane(second[r])};
  MIRROR_UNROLL for (int r = 0; r < 8; ++r) rows[r] = fold<8>(rows[r], rows[r + 8]);
  MIRROR_UNROLL for (int r = 0; r < 4; ++r) rows[r] = fold<4>(rows[r], rows[r + 4]);
  MIRROR_UNROLL for (int r = 0; r < 2; ++r) rows[r] = fold<2>(rows[r], rows[r + 2]);
  rows[0] = fold<1>(rows[0], rows[1]);
  // (31 - tile) << 5 | (15 - lane) -> 511 - column = (31 - tile) << 4 | (15 - lane), plus 512
  auto with_column = [&](Keys keys) {
    const __m512i half = _mm512_srli_epi32(_mm512_and_si512(keys, _mm512_set1_epi32(31 << 5)), 1);
    const __m512i rest = _mm512_andnot_si512(_mm512_set1_epi32(31 << 5), keys);
    return _mm512_or_si512(_mm512_or_si512(rest, half), _mm512_set1_epi32(kBlockRows - kBlockColumns));
  };
  _mm512_storeu_si512(row_first, with_column(rows[0].first));
  _mm512_storeu_si512(row_second, with_column(rows[0].second));
}

// A panel's keys of sixteen columns join those of the panels before it.
MIRROR_INLINE void add_columns(const TopTwo& panel_keys, int panel, int32_t* first, int32_t* second) {
  const __m512i bits = _mm512_set1_epi32((31 - panel) << 5);
  auto with_panel = [&](Keys keys) {  // (31 - tile) << 5 | (31 - row) -> 1023 - (32 panel + row)
    return _mm512_ternarylogic_epi32(keys, _mm512_set1_epi32(~(31 << 5)), bits, 0xea);
  };
  TopTwo keys = {with_panel(panel_keys.first), with_panel(panel_keys.second)};
  if (panel > 0) keys = top_two({_mm512_load_si512(first), _mm512_load_si512(second)}, keys);
  _mm512_store_si512(first, keys.first);
  _mm512_store_si512(second, keys.second);
}

}  // namespace
}  // namespace mirror
