// The match kernel in plain C++, for processors without a file of their own. Packed: rows as they are. Components are
// widened to 16 bits panel by panel, because compilers know a loop over 16-bit products that add up to 32 bits.
#include <algorithm>
#include <cstring>

#include "core/match_kernel_block.h"
#include "core/match_kernel_finish.h"
#include "mirror/match_kernel.h"

namespace mirror {
namespace {

constexpr int kLast = (1 << kKeyBits) - 1;

using Wide = int16_t[kDescriptorLength];

void pack(const uint8_t* rows, int64_t count, int64_t padded, uint8_t* packed) {
  if (count > 0) std::memcpy(packed, rows, static_cast<size_t>(count) * kDescriptorLength);
  std::memset(packed + count * kDescriptorLength, 0, static_cast<size_t>(padded - count) * kDescriptorLength);
}

void widen(const uint8_t* rows, int count, Wide* wide) {
  for (int i = 0; i < count; ++i)
    for (int k = 0; k < kDescriptorLength; ++k) wide[i][k] = rows[i * kDescriptorLength + k];
}

int32_t product(const Wide& a, const Wide& b) {
  int32_t sum = 0;
  for (int k = 0; k < kDescriptorLength; ++k) sum += a[k] * b[k];
  return sum;
}

// `key` joins the two largest seen so far.
void rank(int32_t key, int32_t& first, int32_t& second) {
  second = std::max(second, std::min(first, key));
  first = std::max(first, key);
}

void block(const MatchBlock& b) {
  const int rows = b.panels * kPanelRows, columns = b.tiles * kTileColumns;
  std::fill_n(b.row_first, rows, 0);
  std::fill_n(b.row_second, rows, 0);
  std::fill_n(b.column_first, columns, 0);
  std::fill_n(b.column_second, columns, 0);
  Wide row[kPanelRows], column[kColumnStep];
  for (int r0 = 0; r0 < rows; r0 += kPanelRows) {
    widen(r0 + kPanelRows == rows ? b.last_panel : b.rows + r0 * kDescriptorLength, kPanelRows, row);
    for (int c0 = 0; c0 < columns; c0 += kColumnStep) {
      widen(b.columns + c0 * kDescriptorLength, kColumnStep, column);
      for (int r = r0; r < r0 + kPanelRows; ++r)
        for (int c = c0; c < c0 + kColumnStep; ++c) {
          const int32_t key = product(row[r - r0], column[c - c0]) << kKeyBits;
          rank(key | (kLast - c), b.row_first[r], b.row_second[r]);
          rank(key | (kLast - r), b.column_first[c], b.column_second[c]);
        }
    }
  }
}

}  // namespace

const MatchIsa kMatchPortable = {pack,    block,  finish_pair<int32_t>, finish_pair<int64_t>, sum_terms,
                                 nullptr, nullptr};

}  // namespace mirror
