// From the nearest neighbours of a pair to its mutual matches and its score. Plain C++, compiled once for
// every instruction set by the file that includes it: hence static, and no templates of the standard library.
#pragma once

#include "core/match_kernel_block.h"
#include "core/match_kernel_score.h"

namespace mirror {

namespace {

template <class Key>
struct KeyFormat {
  static constexpr int kBits = sizeof(Key) == 4 ? kKeyBits : 15;
  static constexpr int32_t kLast = (1 << kBits) - 1;
  static int32_t index(Key key) { return kLast - (static_cast<int32_t>(key) & kLast); }
  static int32_t dot(Key key) { return static_cast<int32_t>(key >> kBits); }
};

template <class Key>
int32_t finish_pair(const MatchKeys<Key>& keys, const MatchPair& pair, const MatchList& out) {
  using Format = KeyFormat<Key>;
  int32_t count = 0;
  for (int32_t p = 0; p < pair.rows; ++p) {
    const int32_t q = Format::index(keys.row_first[p]);
    out.p[count] = p;
    out.q[count] = q;
    count += Format::index(keys.column_first[q]) == p;
  }
  for (int32_t m = 0; m < count; ++m) {
    const int32_t p = out.p[m], q = out.q[m];
    const Key second_p = keys.row_second[p], second_q = keys.column_second[q];
    const int32_t norm_p = pair.row_norms[p], norm_q = pair.column_norms[q];
    const int32_t best = norm_p + norm_q - 2 * Format::dot(keys.row_first[p]);
    const int32_t rest_p = norm_p + pair.column_norms[Format::index(second_p)] - 2 * Format::dot(second_p);
    const int32_t rest_q = norm_q + pair.row_norms[Format::index(second_q)] - 2 * Format::dot(second_q);
    out.ratio_p[m] = match_ratio(best, rest_p);
    out.ratio_q[m] = match_ratio(best, rest_q);
  }
  return count;
}

// The score in units of 2^-30.
[[maybe_unused]] int64_t sum_terms(const MatchList& matches, int32_t count) {
  int64_t sum = 0;
  for (int32_t m = 0; m < count; ++m) sum += match_term(matches.ratio_p[m], matches.ratio_q[m]);
  return sum;
}

}  // namespace
}  // namespace mirror
