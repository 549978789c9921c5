// The match kernel in plain C++, for processors without a file of their own. Packed: rows as they are. Components are
// widened to 16 bits panel by panel, because compilers know a loop over 16-bit products that add up to 32 bits.
#include <algorithm>
#include <cstring>

#include "core/match_kernel_block.h"
#include "core/match_kernel_candidates.h"
#include "core/match_kernel_finish.h"

namespace mirror {
namespace {

constexpr int kLast = (1 << kKeyBits) - 1;

template <int kLength>
using Wide = int16_t[kLength];

template <int kLength>
void pack(const uint8_t* rows, int64_t count, int64_t padded, uint8_t* packed) {
  if (count > 0) std::memcpy(packed, rows, static_cast<size_t>(count) * kLength);
  std::memset(packed + count * kLength, 0, static_cast<size_t>(padded - count) * kLength);
}

template <int kLength>
void widen(const uint8_t* rows, int count, Wide<kLength>* wide) {
  for (int i = 0; i < count; ++i)
    for (int k = 0; k < kLength; ++k) wide[i][k] = rows[i * kLength + k];
}

template <int kLength>
int32_t product(const Wide<kLength>& a, const Wide<kLength>& b) {
  int32_t sum = 0;
  for (int k = 0; k < kLength; ++k) sum += a[k] * b[k];
  return sum;
}

// `key` joins the two largest seen so far.
void rank(int32_t key, int32_t& first, int32_t& second) {
  second = std::max(second, std::min(first, key));
  first = std::max(first, key);
}

template <int kLength>
void block(const MatchBlock& b) {
  const int rows = b.panels * kPanelRows, columns = b.tiles * kTileColumns;
  std::fill_n(b.row_first, rows, 0);
  std::fill_n(b.row_second, rows, 0);
  std::fill_n(b.column_first, columns, 0);
  std::fill_n(b.column_second, columns, 0);
  Wide<kLength> row[kPanelRows], column[kColumnStep];
  for (int r0 = 0; r0 < rows; r0 += kPanelRows) {
    widen<kLength>(r0 + kPanelRows == rows ? b.last_panel : b.rows + r0 * kLength, kPanelRows, row);
    for (int c0 = 0; c0 < columns; c0 += kColumnStep) {
      widen<kLength>(b.columns + c0 * kLength, kColumnStep, column);
      for (int r = r0; r < r0 + kPanelRows; ++r)
        for (int c = c0; c < c0 + kColumnStep; ++c) {
          const int32_t key = product<kLength>(row[r - r0], column[c - c0]) << kKeyBits;
          rank(key | (kLast - c), b.row_first[r], b.row_second[r]);
          rank(key | (kLast - r), b.column_first[c], b.column_second[c]);
        }
    }
  }
}

}  // namespace

const MatchIsa kMatchPortable = {{kFullLength, pack<kFullLength>, block<kFullLength>},
                                 {kCoarseLength, pack<kCoarseLength>, block<kCoarseLength>},
                                 finish_pair<int32_t>,
                                 finish_pair<int64_t>,
                                 sum_terms,
                                 add_candidates,
                                 compare_candidates,
                                 nullptr,
                                 nullptr};

}  // namespace mirror
