// The match kernel with vpmaddubsw: 2 rows x 32 columns of products in eight registers, ranked where they are.
//
// Columns are stored as b - 64, so that a product of bytes is at most 127 * 64 and two sums of pairs still fit into
// 16 bits: one widening to 32 bits for every eight components. a.b = a.(b - 64) + 64 sum(a).
//
// Ranking is as in match_kernel_512.h, except that keys are compared as integers (as fast as floats in 256 bits).
#include <immintrin.h>

#include "core/match_kernel_block.h"
#include "core/match_kernel_candidates.h"
#include "core/match_kernel_finish.h"
#include "core/match_kernel_pack.h"

namespace mirror {
namespace {

#define MIRROR_INLINE inline __attribute__((always_inline))
#define MIRROR_UNROLL _Pragma("GCC unroll 16")

constexpr int kMinus = 64;
constexpr int kRows = 2;
constexpr int kTiles = 2;
constexpr int kVectors = 2 * kTiles;  // of eight columns

using Keys = __m256i;

struct TopTwo {
  Keys first;
  Keys second;
};

MIRROR_INLINE Keys larger(Keys a, Keys b) { return _mm256_max_epi32(a, b); }
MIRROR_INLINE Keys smaller(Keys a, Keys b) { return _mm256_min_epi32(a, b); }
MIRROR_INLINE TopTwo top_two(Keys a, Keys b) { return {larger(a, b), smaller(a, b)}; }
MIRROR_INLINE TopTwo top_two(const TopTwo& a, const TopTwo& b) {
  return {larger(a.first, b.first), larger(smaller(a.first, b.first), larger(a.second, b.second))};
}
MIRROR_INLINE Keys load(const int32_t* at) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(at)); }
MIRROR_INLINE void store(int32_t* at, Keys keys) { _mm256_store_si256(reinterpret_cast<__m256i*>(at), keys); }

// The low ten bits of keys inside a panel: (31 - tile) << 5 | (31 - row).
MIRROR_INLINE __m256i low_bits(int tile, int row) { return _mm256_set1_epi32((31 - tile) << 5 | (31 - row)); }
// Their other half gives way to another index.
MIRROR_INLINE Keys replace(Keys keys, int mask, __m256i bits) {
  return _mm256_or_si256(_mm256_andnot_si256(_mm256_set1_epi32(mask), keys), bits);
}

// g++ moves accumulators to the stack to make room for values it could as well load later; this forbids it.
MIRROR_INLINE void keep_in_registers(__m256i (&x)[kRows][kVectors]) {
  asm(""
      : "+x"(x[0][0]), "+x"(x[0][1]), "+x"(x[0][2]), "+x"(x[0][3]), "+x"(x[1][0]), "+x"(x[1][1]),
        "+x"(x[1][2]), "+x"(x[1][3]));
}

// products[i][v] = row i times eight columns.
template <int kLength>
MIRROR_INLINE void multiply(const uint8_t* rows, const int32_t* corrections, const uint8_t* columns,
                            __m256i (&products)[kRows][kVectors]) {
  const __m256i one = _mm256_set1_epi16(1);
  MIRROR_UNROLL for (int i = 0; i < kRows; ++i) MIRROR_UNROLL for (int v = 0; v < kVectors; ++v)
      products[i][v] = _mm256_set1_epi32(corrections[i]);
  for (int q = 0; q < kLength / 4; q += 2) {
    __m256i row[kRows][2];
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
      int32_t quads[2];
      std::memcpy(quads, rows + i * kLength + q * 4, sizeof quads);
      row[i][0] = _mm256_set1_epi32(quads[0]);
      row[i][1] = _mm256_set1_epi32(quads[1]);
    }
    MIRROR_UNROLL for (int v = 0; v < kVectors; ++v) {
      const auto* column = reinterpret_cast<const __m256i*>(columns + v / 2 * kTileBytes<kLength> +
                                                            q * kQuadBytes + v % 2 * 32);
      MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
        const __m256i sums = _mm256_add_epi16(_mm256_maddubs_epi16(row[i][0], _mm256_load_si256(column)),
                                              _mm256_maddubs_epi16(row[i][1], _mm256_load_si256(column + 2)));
        products[i][v] = _mm256_add_epi32(products[i][v], _mm256_madd_epi16(sums, one));
      }
    }
    keep_in_registers(products);
  }
}

struct alignas(64) PanelRowKeys {
  int32_t first[kPanelRows][16];
  int32_t second[kPanelRows][16];

  MIRROR_INLINE void add(int r, int half, const TopTwo& more) {
    int32_t* const one = first[r] + half * 8;
    int32_t* const two = second[r] + half * 8;
    const TopTwo sum = top_two({load(one), load(two)}, more);
    store(one, sum.first);
    store(two, sum.second);
  }
};

// 64 sum(a) of a panel's rows.
template <int kLength>
void correct(const uint8_t* rows, int32_t* corrections) {
  for (int r = 0; r < kPanelRows; ++r) {
    int32_t sum = 0;
    for (int k = 0; k < kLength; ++k) sum += rows[r * kLength + k];
    corrections[r] = kMinus * sum;
  }
}

template <int kLength>
MIRROR_INLINE void panel_against_tiles(const uint8_t* rows, const int32_t* corrections,
                                       const uint8_t* columns, int tile, PanelRowKeys& row_keys,
                                       TopTwo (&column_keys)[kVectors]) {
  MIRROR_UNROLL for (int v = 0; v < kVectors; ++v)
      column_keys[v] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (int r = 0; r < kPanelRows; r += kRows) {
    __m256i keys[kRows][kVectors];
    multiply<kLength>(rows + r * kLength, corrections + r, columns, keys);
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
      MIRROR_UNROLL for (int v = 0; v < kVectors; ++v) keys[i][v] =
          _mm256_or_si256(_mm256_slli_epi32(keys[i][v], kKeyBits), low_bits(tile + v / 2, r + i));
      MIRROR_UNROLL for (int half = 0; half < 2; ++half)
          row_keys.add(r + i, half, top_two(keys[i][half], keys[i][half + 2]));
    }
    MIRROR_UNROLL for (int v = 0; v < kVectors; ++v) column_keys[v] =
        top_two(column_keys[v], top_two(keys[0][v], keys[1][v]));
  }
}

// The lanes of one row -> one key, its low bits 1023 - column.
void finish_row(const int32_t* first, const int32_t* second, int32_t* row_first, int32_t* row_second) {
  const __m256i lane = _mm256_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8);  // 15 - lane
  const __m256i next = _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  TopTwo keys = top_two({replace(load(first), 31, lane), replace(load(second), 31, lane)},
                        {replace(load(first + 8), 31, next), replace(load(second + 8), 31, next)});
  auto fold = [&keys](auto turn) { keys = top_two(keys, {turn(keys.first), turn(keys.second)}); };
  fold([](Keys k) { return _mm256_permute2x128_si256(k, k, 1); });
  fold([](Keys k) { return _mm256_shuffle_epi32(k, 0x4e); });
  // Two lanes are left: lane 0 and its neighbour.
  fold([](Keys k) { return _mm256_shuffle_epi32(k, 0xb1); });
  // (31 - tile) << 5 | (15 - lane) -> 511 - column = (31 - tile) << 4 | (15 - lane), plus 512
  auto with_column = [](int32_t key) {
    return (key & ~1023) | (key >> 1 & 31 << 4) | (key & 15) | (kBlockRows - kBlockColumns);
  };
  *row_first = with_column(_mm256_cvtsi256_si32(keys.first));
  *row_second = with_column(_mm256_cvtsi256_si32(keys.second));
}

void add_columns(const TopTwo& panel_keys, int panel, int32_t* first, int32_t* second) {
  const __m256i bits = _mm256_set1_epi32((31 - panel) << 5);  // (31 - panel) << 5 | (31 - row)
  TopTwo keys = {replace(panel_keys.first, 31 << 5, bits), replace(panel_keys.second, 31 << 5, bits)};
  if (panel > 0) keys = top_two({load(first), load(second)}, keys);
  store(first, keys.first);
  store(second, keys.second);
}

template <int kLength>
void block(const MatchBlock& b) {
  PanelRowKeys row_keys;
  int32_t corrections[kPanelRows];
  for (int panel = 0; panel < b.panels; ++panel) {
    const uint8_t* rows = panel == b.panels - 1 ? b.last_panel : b.rows + panel * kPanelRows * kLength;
    correct<kLength>(rows, corrections);
    std::memset(&row_keys, 0, sizeof row_keys);
    for (int tile = 0; tile < b.tiles; tile += kTiles) {
      TopTwo column_keys[kVectors];
      panel_against_tiles<kLength>(rows, corrections, b.columns + tile * kTileBytes<kLength>, tile, row_keys,
                                   column_keys);
      MIRROR_UNROLL for (int v = 0; v < kVectors; ++v)
          add_columns(column_keys[v], panel, b.column_first + tile * kTileColumns + v * 8,
                      b.column_second + tile * kTileColumns + v * 8);
    }
    for (int r = 0; r < kPanelRows; ++r) {
      const int row = panel * kPanelRows + r;
      finish_row(row_keys.first[r], row_keys.second[r], b.row_first + row, b.row_second + row);
    }
  }
}

}  // namespace

const MatchIsa kMatchAvx2 = {{kFullLength, pack_quads<kMinus, kFullLength>, block<kFullLength>},
                             {kCoarseLength, pack_quads<kMinus, kCoarseLength>, block<kCoarseLength>},
                             finish_pair<int32_t>,
                             finish_pair<int64_t>,
                             sum_terms,
                             add_candidates,
                             compare_candidates,
                             nullptr,
                             nullptr};

}  // namespace mirror
