#include "core/match_kernel_pair.h"

#include <algorithm>
#include <cstring>

namespace mirror {
namespace {

constexpr int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Adds one block's two largest keys to the photo's, rising indices: `begin` is the block's first.
void merge(const int32_t* first, const int32_t* second, int64_t count, int64_t index, int64_t* largest,
           int64_t* second_largest) {
  constexpr int kSmall = KeyFormat<int32_t>::kBits, kLarge = KeyFormat<int64_t>::kBits;
  auto widen = [index](int32_t key) {
    const int64_t i = index + KeyFormat<int32_t>::index(key);
    return static_cast<int64_t>(key >> kSmall) << kLarge | (KeyFormat<int64_t>::kLast - i);
  };
  for (int64_t i = 0; i < count; ++i) {
    const int64_t one = widen(first[i]), two = widen(second[i]);
    const int64_t beaten = std::min(largest[i], one);
    largest[i] = std::max(largest[i], one);
    second_largest[i] = std::max({second_largest[i], beaten, two});
  }
}

}  // namespace

PairMatcher::PairMatcher(const MatchIsa& isa, int64_t max_rows, int64_t max_columns)
    : isa_(isa),
      block_keys_(2 * (kBlockRows + kBlockColumns)),
      last_panel_(kPanelRows * kDescriptorLength),
      indices_(2 * round_up(max_rows, 16)),
      ratios_(2 * round_up(max_rows, 16)),
      max_rows_(round_up(max_rows, kPanelRows)),
      max_columns_(round_up(max_columns, kColumnStep)) {
  const int32_t* const keys = block_keys_.get();
  small_ = {keys, keys + kBlockRows, keys + 2 * kBlockRows, keys + 2 * kBlockRows + kBlockColumns};
  if (max_rows > kBlockRows || max_columns > kBlockColumns) {
    keys_ = Buffer<int64_t>(2 * (max_rows_ + max_columns_));
    int64_t* const wide = keys_.get();
    large_ = {wide, wide + max_rows_, wide + 2 * max_rows_, wide + 2 * max_rows_ + max_columns_};
  }
  list_ = {indices_.get(), indices_.get() + round_up(max_rows, 16), ratios_.get(),
           ratios_.get() + round_up(max_rows, 16)};
  if (isa_.begin != nullptr) isa_.begin();
}

PairMatcher::~PairMatcher() {
  if (isa_.end != nullptr) isa_.end();
}

// One block, into block_keys_.
void PairMatcher::multiply(const MatchProducts& products, const Side& a, const Side& b, const Place& place) {
  const int64_t length = products.length;
  const int64_t rows = std::min<int64_t>(a.size - place.row, place.max_rows);
  const int64_t columns = std::min<int64_t>(round_up(b.size, kColumnStep) - place.column, kBlockColumns);
  MatchBlock block;
  block.panels = static_cast<int>((rows + kPanelRows - 1) / kPanelRows);
  block.tiles = static_cast<int>(columns / kTileColumns);
  block.rows = a.data + place.row * length;
  const int64_t before_last = (block.panels - 1) * kPanelRows, in_last = rows - before_last;
  block.last_panel = block.rows + before_last * length;
  if (in_last < kPanelRows) {  // rows beyond the photo are not ours to read
    std::memcpy(last_panel_.get(), block.last_panel, static_cast<size_t>(in_last * length));
    std::memset(last_panel_.get() + in_last * length, 0,
                static_cast<size_t>((kPanelRows - in_last) * length));
    block.last_panel = last_panel_.get();
  }
  block.columns = b.data + place.column * length;
  int32_t* const keys = block_keys_.get();
  block.row_first = keys;
  block.row_second = keys + kBlockRows;
  block.column_first = keys + 2 * kBlockRows;
  block.column_second = keys + 2 * kBlockRows + kBlockColumns;
  products.block(block);
}

void PairMatcher::merge_blocks(const MatchRows& a, const MatchColumns& b) {
  std::fill_n(large_.row_first, a.size, -1);
  std::fill_n(large_.row_second, a.size, -1);
  std::fill_n(large_.column_first, b.size, -1);
  std::fill_n(large_.column_second, b.size, -1);
  for (int64_t row = 0; row < a.size; row += kBlockRows)
    for (int64_t column = 0; column < b.size; column += kBlockColumns) {
      multiply(isa_.full, {a.rows, a.size}, {b.packed, b.size}, {row, column, kBlockRows});
      merge(small_.row_first, small_.row_second, std::min<int64_t>(a.size - row, kBlockRows), column,
            large_.row_first + row, large_.row_second + row);
      merge(small_.column_first, small_.column_second, std::min<int64_t>(b.size - column, kBlockColumns), row,
            large_.column_first + column, large_.column_second + column);
    }
}

int32_t PairMatcher::matches(const MatchRows& a, const MatchColumns& b) {
  if (a.size < 2 || b.size < 2) return 0;
  const MatchPair pair = {a.size, a.norms, b.norms};
  if (a.size <= kBlockRows && b.size <= kBlockColumns) {
    multiply(isa_.full, {a.rows, a.size}, {b.packed, b.size}, {0, 0, kBlockRows});
    return isa_.finish_small(small_, pair, list_);
  }
  merge_blocks(a, b);
  return isa_.finish_large(found(), pair, list_);
}

int32_t PairMatcher::matches_in_two_passes(const MatchRows& a, const MatchColumns& b) {
  if (candidates_.get() == nullptr) candidates_ = Buffer<int64_t>(kCandidates * (max_rows_ + max_columns_));
  const Candidates of_rows = {candidates_.get(), max_rows_};
  const Candidates of_columns = {candidates_.get() + kCandidates * max_rows_, max_columns_};
  find_candidates(a, b, of_rows, of_columns);
  isa_.compare_candidates({a.rows, a.size, of_rows}, {b.rows, b.size, of_columns}, large_);
  return isa_.finish_large(found(), {a.size, a.norms, b.norms}, list_);
}

// Blocks have as many rows as columns here, so that a pair and its reverse have the same candidates.
void PairMatcher::find_candidates(const MatchRows& a, const MatchColumns& b, const Candidates& of_rows,
                                  const Candidates& of_columns) {
  std::fill_n(of_rows.keys, kCandidates * of_rows.stride, -1);
  std::fill_n(of_columns.keys, kCandidates * of_columns.stride, -1);
  for (int32_t row = 0; row < a.size; row += kBlockColumns)
    for (int32_t column = 0; column < b.size; column += kBlockColumns) {
      multiply(isa_.coarse, {a.coarse, a.size}, {b.packed, b.size}, {row, column, kBlockColumns});
      isa_.add_candidates(small_.row_first, small_.row_second, std::min(a.size - row, kBlockColumns), column,
                          {of_rows.keys + row, of_rows.stride});
      isa_.add_candidates(small_.column_first, small_.column_second, std::min(b.size - column, kBlockColumns),
                          row, {of_columns.keys + column, of_columns.stride});
    }
}

float PairMatcher::score(const MatchRows& a, const MatchColumns& b) {
  return match_score(isa_.sum(list_, matches(a, b)));
}

}  // namespace mirror
