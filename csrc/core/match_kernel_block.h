// What an instruction set has to provide for the match kernel: packing, and the two nearest neighbours of
// every row and every column of one block of products. Everything around it (blocks, ratios, scores, threads)
// is in match_kernel.cpp.
//
//               columns, packed: 16 t + lane
//               +---------+---------+--
//    32 rows    | tile 0  | tile 1  |    <- panel 0
//   (as they    +---------+---------+--
//  are given)   |         |         |    <- panel 1
//
// A key is one int32 that orders by product, then by lowest index: product << 10 | (1023 - index in the block).
// Products are below 2^21, so keys are not negative, and read as floats they are finite and in the same order.
//
// Padding is zeros and has the highest indices. A padded row or column has product 0 with everything, so with
// two real ones, which have at least 0 and a lower index, it never becomes first or second.
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "mirror/match_kernel.h"

namespace mirror {

constexpr int kFullLength = kDescriptorLength;
constexpr int kCoarseLength = 64;  // of the first of two passes, match_kernel_candidates.h
constexpr int kPanelRows = 32;
constexpr int kTileColumns = 16;
constexpr int kBlockPanels = 32;  // a block has at most 1024 rows
constexpr int kBlockTiles = 32;   // and 512 columns
constexpr int kBlockRows = kBlockPanels * kPanelRows;
constexpr int kBlockColumns = kBlockTiles * kTileColumns;
constexpr int kColumnStep = 64;  // photos are padded to this many columns
constexpr int kKeyBits = 10;

struct MatchBlock {
  const uint8_t* rows;  // [32 * panels, length]; the last panel is read from `last_panel` instead
  const uint8_t* last_panel;
  const uint8_t* columns;  // packed, 16 * tiles
  int panels;              // 1..32
  int tiles;               // a multiple of 4, 4..32
  int32_t* row_first;      // out, keys, 64-byte aligned: [32 * panels]
  int32_t* row_second;
  int32_t* column_first;  // [16 * tiles]
  int32_t* column_second;
};

// Keys of whole photos: product << kBits | (2^kBits - 1 - index). int32 and 10 bits where a pair is a single
// block, else int64 and 15 bits.
template <class Key>
struct MatchKeys {
  const Key* row_first;
  const Key* row_second;
  const Key* column_first;
  const Key* column_second;
};

// The same, while it is being found.
struct NearestKeys {
  int64_t* row_first;
  int64_t* row_second;
  int64_t* column_first;
  int64_t* column_second;
};

// The first pass's closest features of every feature, closest first: keys [kCandidates][stride].
constexpr int kCandidates = 4;
struct Candidates {
  int64_t* keys;
  int64_t stride;
};
struct CandidateSide {
  const uint8_t* rows;  // [size, 128]
  int32_t size;
  Candidates candidates;  // in the other photo
};

struct MatchPair {
  int32_t rows;  // features of the first photo
  const int32_t* row_norms;
  const int32_t* column_norms;
};

// Mutual matches, rising in p; arrays of at least `rows` elements.
struct MatchList {
  int32_t* p;
  int32_t* q;
  float* ratio_p;
  float* ratio_q;
};

// Products of rows with columns of `length` bytes.
struct MatchProducts {
  int length;
  // Packs `count` rows, padded with zeros to `padded` (a multiple of 64) columns; `packed` is aligned.
  void (*pack)(const uint8_t* rows, int64_t count, int64_t padded, uint8_t* packed);
  void (*block)(const MatchBlock& block);
};

struct MatchIsa {
  MatchProducts full;
  MatchProducts coarse;
  // match_kernel_finish.h, compiled for this instruction set: mutual matches and their number; their score.
  int32_t (*finish_small)(const MatchKeys<int32_t>& keys, const MatchPair& pair, const MatchList& out);
  int32_t (*finish_large)(const MatchKeys<int64_t>& keys, const MatchPair& pair, const MatchList& out);
  int64_t (*sum)(const MatchList& matches, int32_t count);
  // match_kernel_candidates.h, likewise.
  void (*add_candidates)(const int32_t* first, const int32_t* second, int32_t count, int32_t index,
                         const Candidates& candidates);
  void (*compare_candidates)(const CandidateSide& a, const CandidateSide& b, const NearestKeys& keys);
  // Once per thread, before its first and after its last block; nullptr: nothing to do.
  void (*begin)();
  void (*end)();
};

extern const MatchIsa kMatchPortable;
#if defined(MIRROR_X86)
extern const MatchIsa kMatchAvx2;
extern const MatchIsa kMatchAvx512;
extern const MatchIsa kMatchAvx512Vbmi2;
extern const MatchIsa kMatchAmx;
#endif

}  // namespace mirror
