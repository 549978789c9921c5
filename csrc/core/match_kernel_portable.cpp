// The match kernel in plain C++. Packed: [tile][128][16], so that sixteen columns lie side by side for every
// component.
#include <algorithm>
#include <cstring>

#include "core/match_kernel_block.h"
#include "core/match_kernel_finish.h"
#include "mirror/match_kernel.h"

namespace mirror {
namespace {

constexpr int kTileBytes = kTileColumns * kDescriptorLength;

void pack(const uint8_t* rows, int64_t count, int64_t padded, uint8_t* packed) {
  std::memset(packed, 0, static_cast<size_t>(padded) * kDescriptorLength);
  for (int64_t i = 0; i < count; ++i)
    for (int k = 0; k < kDescriptorLength; ++k)
      packed[i / kTileColumns * kTileBytes + k * kTileColumns + i % kTileColumns] =
          rows[i * kDescriptorLength + k];
}

// The two largest keys seen so far, in sixteen independent lanes.
struct Lanes {
  int32_t* first;
  int32_t* second;
  void add(int lane, int32_t key) const {
    const int32_t beaten = std::min(first[lane], key);
    first[lane] = std::max(first[lane], key);
    second[lane] = std::max(second[lane], beaten);
  }
};

void row_against_tile(const uint8_t* row, const uint8_t* tile, int32_t* dots) {
  std::memset(dots, 0, kTileColumns * sizeof(int32_t));
  for (int k = 0; k < kDescriptorLength; ++k)
    for (int lane = 0; lane < kTileColumns; ++lane) dots[lane] += row[k] * tile[k * kTileColumns + lane];
}

void block(const MatchBlock& b) {
  constexpr int kLast = (1 << kKeyBits) - 1;
  std::fill_n(b.column_first, b.tiles * kTileColumns, 0);
  std::fill_n(b.column_second, b.tiles * kTileColumns, 0);
  for (int r = 0; r < b.panels * kPanelRows; ++r) {
    const int in_last = r - (b.panels - 1) * kPanelRows;
    const uint8_t* row =
        (in_last < 0 ? b.rows + r * kDescriptorLength : b.last_panel + in_last * kDescriptorLength);
    int32_t first[kTileColumns] = {}, second[kTileColumns] = {};
    for (int t = 0; t < b.tiles; ++t) {
      int32_t dots[kTileColumns];
      row_against_tile(row, b.columns + t * kTileBytes, dots);
      const Lanes of_row{first, second};
      const Lanes of_columns{b.column_first + t * kTileColumns, b.column_second + t * kTileColumns};
      for (int lane = 0; lane < kTileColumns; ++lane) {
        of_row.add(lane, dots[lane] << kKeyBits | (kLast - t * kTileColumns - lane));
        of_columns.add(lane, dots[lane] << kKeyBits | (kLast - r));
      }
    }
    int32_t one = 0, two = 0;
    for (int lane = 0; lane < kTileColumns; ++lane) {
      two = std::max({two, second[lane], std::min(one, first[lane])});
      one = std::max(one, first[lane]);
    }
    b.row_first[r] = one;
    b.row_second[r] = two;
  }
}

}  // namespace

const MatchIsa kMatchPortable = {pack,    block,  finish_pair<int32_t>, finish_pair<int64_t>, sum_terms,
                                 nullptr, nullptr};

}  // namespace mirror
