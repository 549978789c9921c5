// The match kernel with AMX tiles: a panel of 32 rows stays in tiles 0..3, every 16 columns give 32 x 16 products in
// tiles 6 and 7. Products leave through a small buffer, and while one chunk of 64 columns is multiplied the one before
// it is ranked, because the two use different parts of the processor.
//
//                        tile 4: components 0..63   of 16 columns
//                        tile 5: components 64..127 (not in the coarse pass, nor tiles 1 and 3)
//   rows  0..15  tiles 0 1   ->  tile 6
//   rows 16..31  tiles 2 3   ->  tile 7
#include "core/amx_tile.h"
#include "core/match_kernel_512.h"
#include "core/match_kernel_block.h"
#include "core/match_kernel_candidates.h"
#include "core/match_kernel_finish.h"
#include "core/match_kernel_pack.h"

namespace mirror {
namespace {

constexpr int kChunkTiles = 4;
constexpr int kHalf = kPanelRows / 2;

struct alignas(64) Products {
  int32_t of[kChunkTiles][kPanelRows][kTileColumns];
};

// 64 columns of a panel: `tile` is the first in the block.
struct Chunk {
  int panel;
  int tile;
};

template <int kLength>
MIRROR_INLINE void load_panel(const uint8_t* rows) {
  MIRROR_TILE_LOAD(0, rows, kLength);
  MIRROR_TILE_LOAD(2, rows + kHalf * kLength, kLength);
  if constexpr (kLength > 64) {
    MIRROR_TILE_LOAD(1, rows + 64, kLength);
    MIRROR_TILE_LOAD(3, rows + kHalf * kLength + 64, kLength);
  }
}

template <int kLength>
MIRROR_INLINE void multiply(const uint8_t* columns) {
  MIRROR_TILE_LOAD(4, columns, kQuadBytes);
  MIRROR_TILE_ZERO(6);
  MIRROR_TILE_ZERO(7);
  MIRROR_TILE_DPBUUD(6, 0, 4);
  MIRROR_TILE_DPBUUD(7, 2, 4);
  if constexpr (kLength > 64) {
    MIRROR_TILE_LOAD(5, columns + kTileBytes<kLength> / 2, kQuadBytes);
    MIRROR_TILE_DPBUUD(6, 1, 5);
    MIRROR_TILE_DPBUUD(7, 3, 5);
  }
}

MIRROR_INLINE void store(int32_t (*products)[kTileColumns]) {
  MIRROR_TILE_STORE(6, products, kTileColumns * 4);
  MIRROR_TILE_STORE(7, products + kHalf, kTileColumns * 4);
}

// Ranks a chunk, eight rows at a time.
class Ranker {
 public:
  MIRROR_INLINE void start(const Chunk& chunk) {
    chunk_ = chunk;
    if (chunk.tile == 0) rows_.clear();
    MIRROR_UNROLL for (int j = 0; j < kChunkTiles; ++j)
        columns_[j] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  }

  MIRROR_INLINE void rank(const Products& products, int row) {
    MIRROR_UNROLL for (int r = row; r < row + 8; r += 4) {
      Keys keys[4][kChunkTiles];
      MIRROR_UNROLL for (int i = 0; i < 4; ++i) {
        MIRROR_UNROLL for (int j = 0; j < kChunkTiles; ++j) keys[i][j] =
            make_keys<true>(_mm512_load_si512(products.of[j][r + i]), kLowBits.at[chunk_.tile + j][r + i]);
        rows_.add(r + i, top_two(keys[i][0], keys[i][1], keys[i][2], keys[i][3]));
      }
      MIRROR_UNROLL for (int j = 0; j < kChunkTiles; ++j) columns_[j] =
          top_two(columns_[j], top_two(keys[0][j], keys[1][j], keys[2][j], keys[3][j]));
    }
  }

  MIRROR_INLINE void finish(const MatchBlock& b) {
    MIRROR_UNROLL for (int j = 0; j < kChunkTiles; ++j) {
      const int column = (chunk_.tile + j) * kTileColumns;
      add_columns(columns_[j], chunk_.panel, b.column_first + column, b.column_second + column);
    }
    if (chunk_.tile + kChunkTiles < b.tiles) return;
    for (int half = 0; half < kPanelRows; half += kHalf) {
      const int row = chunk_.panel * kPanelRows + half;
      finish_rows(rows_.first + half, rows_.second + half, b.row_first + row, b.row_second + row);
    }
  }

 private:
  Chunk chunk_{};
  TopTwo columns_[kChunkTiles];
  PanelRowKeys rows_;
};

template <int kLength>
void block(const MatchBlock& b) {
  Products products[2];
  Ranker ranker;
  int count = 0;  // chunks multiplied so far
  for (int panel = 0; panel < b.panels; ++panel) {
    load_panel<kLength>(panel == b.panels - 1 ? b.last_panel : b.rows + panel * kPanelRows * kLength);
    for (int tile = 0; tile < b.tiles; tile += kChunkTiles, ++count) {
      const Products& before = products[(count + 1) % 2];
      MIRROR_UNROLL for (int j = 0; j < kChunkTiles; ++j) {
        multiply<kLength>(b.columns + (tile + j) * kTileBytes<kLength>);
        if (count > 0) ranker.rank(before, j * 8);
        store(products[count % 2].of[j]);
      }
      if (count > 0) ranker.finish(b);
      ranker.start({panel, tile});
    }
  }
  for (int row = 0; row < kPanelRows; row += 8) ranker.rank(products[(count + 1) % 2], row);
  ranker.finish(b);
}

void begin() {
  const TileConfig config = TileConfig::full();
  MIRROR_TILE_CONFIG(config);
}

void end() { MIRROR_TILE_RELEASE(); }

}  // namespace

#if defined(MIRROR_AMX_EMULATE)
extern const MatchIsa kMatchAmxEmulated;
const MatchIsa kMatchAmxEmulated
#else
const MatchIsa kMatchAmx
#endif
    = {{kFullLength, pack_quads<0, kFullLength>, block<kFullLength>},
       {kCoarseLength, pack_quads<0, kCoarseLength>, block<kCoarseLength>},
       finish_pair<int32_t>,
       finish_pair<int64_t>,
       sum_terms,
       add_candidates,
       compare_candidates,
       begin,
       end};

}  // namespace mirror
