// Matching in two passes. The first ranks descriptors of half the length, and keeps for every feature a few candidates
// in the other photo; the second compares these at full length, exactly.
//
//   coarse descriptor   neighbouring rows of the 4 x 4 cells, summed: 64 numbers of 7 bits
//   candidates of p     of every 512 features of the other photo the two closest, of all these the four closest
//   compared with p     the candidates of p, and the features that have p among theirs
//
// Plain C++, compiled once for every instruction set by the file that includes it: hence static, and no templates of
// the standard library.
#pragma once

#include <cstdint>

#include "core/match_kernel_block.h"
#include "core/match_kernel_finish.h"

namespace mirror {
namespace {

// The larger stays in `list`, the smaller goes on.
inline void sift(int64_t& list, int64_t& key) {
  const int64_t had = list;
  list = had > key ? had : key;
  key = had > key ? key : had;
}

// A key of every feature, from a block whose first feature of the other photo is `index`.
inline void add_keys(const int32_t* keys, int32_t count, int32_t index, const Candidates& candidates) {
  using Small = KeyFormat<int32_t>;
  using Large = KeyFormat<int64_t>;
  static_assert(kCandidates == 4);
  int64_t* __restrict const one = candidates.keys;
  int64_t* __restrict const two = one + candidates.stride;
  int64_t* __restrict const three = two + candidates.stride;
  int64_t* __restrict const four = three + candidates.stride;
  const int32_t more = Large::kLast - Small::kLast - index;  // low bits count downwards
  for (int32_t i = 0; i < count; ++i) {
    int64_t key = static_cast<int64_t>(keys[i] >> Small::kBits) << Large::kBits |
                  static_cast<int64_t>((keys[i] & Small::kLast) + more);
    sift(one[i], key);
    sift(two[i], key);
    sift(three[i], key);
    sift(four[i], key);
  }
}

// The two closest of every feature in such a block.
void add_candidates(const int32_t* first, const int32_t* second, int32_t count, int32_t index,
                    const Candidates& candidates) {
  add_keys(first, count, index, candidates);
  add_keys(second, count, index, candidates);
}

inline int32_t candidate(const Candidates& candidates, int k, int32_t feature) {
  return KeyFormat<int64_t>::index(candidates.keys[k * candidates.stride + feature]);
}

inline bool listed(const Candidates& candidates, int32_t feature, int32_t other) {
  bool found = false;
  for (int k = 0; k < kCandidates; ++k) found |= candidate(candidates, k, feature) == other;
  return found;
}

inline int32_t full_product(const uint8_t* a, const uint8_t* b) {
  int32_t sum = 0;
  for (int k = 0; k < kFullLength; ++k) sum += static_cast<int16_t>(a[k]) * static_cast<int16_t>(b[k]);
  return sum;
}

// A product joins the two largest of a feature; none comes twice.
inline void add_product(int32_t product, int32_t other, int64_t& first, int64_t& second) {
  using Format = KeyFormat<int64_t>;
  int64_t key = static_cast<int64_t>(product) << Format::kBits | (Format::kLast - other);
  sift(first, key);
  sift(second, key);
}

// The two closest of every feature among those it is compared with.
void compare_candidates(const CandidateSide& a, const CandidateSide& b, const NearestKeys& keys) {
  for (int32_t p = 0; p < a.size; ++p) keys.row_first[p] = keys.row_second[p] = -1;
  for (int32_t q = 0; q < b.size; ++q) keys.column_first[q] = keys.column_second[q] = -1;
  const auto compare = [&](int32_t p, int32_t q) {
    const int32_t product =
        full_product(a.rows + int64_t{p} * kFullLength, b.rows + int64_t{q} * kFullLength);
    add_product(product, q, keys.row_first[p], keys.row_second[p]);
    add_product(product, p, keys.column_first[q], keys.column_second[q]);
  };
  for (int32_t p = 0; p < a.size; ++p)
    for (int k = 0; k < kCandidates; ++k) compare(p, candidate(a.candidates, k, p));
  for (int32_t q = 0; q < b.size; ++q)
    for (int k = 0; k < kCandidates; ++k) {
      const int32_t p = candidate(b.candidates, k, q);
      if (!listed(a.candidates, p, q)) compare(p, q);
    }
}

}  // namespace
}  // namespace mirror
