// The match kernel with vpdpbusd: 4 rows x 64 columns of products in sixteen registers, ranked where they are.
#include "core/match_kernel_512.h"
#include "core/match_kernel_block.h"
#include "core/match_kernel_candidates.h"
#include "core/match_kernel_finish.h"
#include "core/match_kernel_pack.h"

namespace mirror {
namespace {

constexpr int kRows = 4;
constexpr int kTiles = 4;

// products[i][j] = row i of `rows` times the columns of tile j.
template <int kLength>
MIRROR_INLINE void multiply(const uint8_t* rows, const uint8_t* columns, __m512i (&products)[kRows][kTiles]) {
  MIRROR_UNROLL for (int i = 0; i < kRows; ++i) MIRROR_UNROLL for (int j = 0; j < kTiles; ++j)
      products[i][j] = _mm512_setzero_si512();
  for (int q = 0; q < kLength / 4; ++q) {
    __m512i column[kTiles];
    MIRROR_UNROLL for (int j = 0; j < kTiles; ++j) column[j] =
        _mm512_load_si512(columns + j * kTileBytes<kLength> + q * kQuadBytes);
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
      int32_t quad;
      std::memcpy(&quad, rows + i * kLength + q * 4, sizeof quad);
      const __m512i row = _mm512_set1_epi32(quad);
      MIRROR_UNROLL for (int j = 0; j < kTiles; ++j) products[i][j] =
          _mm512_dpbusd_epi32(products[i][j], row, column[j]);
    }
  }
}

// A panel against 64 columns, the first of which are tile `tile` of the block.
template <bool kVbmi2, int kLength>
MIRROR_INLINE void panel_against_tiles(const uint8_t* rows, const uint8_t* columns, int tile,
                                       PanelRowKeys& row_keys, TopTwo (&column_keys)[kTiles]) {
  MIRROR_UNROLL for (int j = 0; j < kTiles; ++j)
      column_keys[j] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  for (int r = 0; r < kPanelRows; r += kRows) {
    __m512i keys[kRows][kTiles];
    multiply<kLength>(rows + r * kLength, columns, keys);
    MIRROR_UNROLL for (int i = 0; i < kRows; ++i) {
      MIRROR_UNROLL for (int j = 0; j < kTiles; ++j) keys[i][j] =
          make_keys<kVbmi2>(keys[i][j], kLowBits.at[tile + j][r + i]);
      row_keys.add(r + i, top_two(keys[i][0], keys[i][1], keys[i][2], keys[i][3]));
    }
    MIRROR_UNROLL for (int j = 0; j < kTiles; ++j) column_keys[j] =
        top_two(column_keys[j], top_two(keys[0][j], keys[1][j], keys[2][j], keys[3][j]));
  }
}

template <bool kVbmi2, int kLength>
void block(const MatchBlock& b) {
  PanelRowKeys row_keys;
  for (int panel = 0; panel < b.panels; ++panel) {
    const uint8_t* rows = panel == b.panels - 1 ? b.last_panel : b.rows + panel * kPanelRows * kLength;
    row_keys.clear();
    for (int tile = 0; tile < b.tiles; tile += kTiles) {
      TopTwo column_keys[kTiles];
      panel_against_tiles<kVbmi2, kLength>(rows, b.columns + tile * kTileBytes<kLength>, tile, row_keys,
                                           column_keys);
      MIRROR_UNROLL for (int j = 0; j < kTiles; ++j)
          add_columns(column_keys[j], panel, b.column_first + (tile + j) * kTileColumns,
                      b.column_second + (tile + j) * kTileColumns);
    }
    for (int half = 0; half < kPanelRows; half += 16) {
      const int row = panel * kPanelRows + half;
      finish_rows(row_keys.first + half, row_keys.second + half, b.row_first + row, b.row_second + row);
    }
  }
}

}  // namespace

const MatchIsa kMatchAvx512 = {{kFullLength, pack_quads<0, kFullLength>, block<false, kFullLength>},
                               {kCoarseLength, pack_quads<0, kCoarseLength>, block<false, kCoarseLength>},
                               finish_pair<int32_t>,
                               finish_pair<int64_t>,
                               sum_terms,
                               add_candidates,
                               compare_candidates,
                               nullptr,
                               nullptr};
const MatchIsa kMatchAvx512Vbmi2 = {{kFullLength, pack_quads<0, kFullLength>, block<true, kFullLength>},
                                    {kCoarseLength, pack_quads<0, kCoarseLength>, block<true, kCoarseLength>},
                                    finish_pair<int32_t>,
                                    finish_pair<int64_t>,
                                    sum_terms,
                                    add_candidates,
                                    compare_candidates,
                                    nullptr,
                                    nullptr};

}  // namespace mirror
