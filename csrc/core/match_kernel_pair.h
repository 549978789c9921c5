// One pair of photos, by one thread: products block by block, nearest neighbours, mutual matches.
#pragma once

#include "core/float_mode.h"
#include "core/match_kernel_block.h"
#include "core/match_kernel_finish.h"
#include "core/tasks.h"
#include "mirror/match_kernel.h"

namespace mirror {

// A photo as one side of a pair.
struct MatchRows {
  const uint8_t* rows;   // [size, 128], as the caller gave them
  const int32_t* norms;  // [size padded to a multiple of 64], zeros beyond size
  int32_t size;
  const uint8_t* coarse = nullptr;  // [size, 64]; only two passes need it
};
struct MatchColumns {
  const uint8_t* packed;  // of the coarse descriptors where there are two passes
  const int32_t* norms;
  int32_t size;
  const uint8_t* rows = nullptr;  // [size, 128]; only two passes need it
};

class PairMatcher {
 public:
  // Photos with at most so many features.
  PairMatcher(const MatchIsa& isa, int64_t max_rows, int64_t max_columns);
  ~PairMatcher();

  float score(const MatchRows& a, const MatchColumns& b);
  // The list is this object's scratch memory; valid until the next call.
  int32_t matches(const MatchRows& a, const MatchColumns& b);
  // In two passes, match_kernel_candidates.h. Both photos have at least kMinTwoPass features.
  int32_t matches_in_two_passes(const MatchRows& a, const MatchColumns& b);
  const MatchList& list() const { return list_; }

 private:
  MatchKeys<int64_t> found() const {
    return {large_.row_first, large_.row_second, large_.column_first, large_.column_second};
  }
  struct Side {
    const uint8_t* data;
    int32_t size;
  };
  struct Place {  // of a block
    int64_t row, column, max_rows;
  };
  void multiply(const MatchProducts& products, const Side& a, const Side& b, const Place& place);
  void merge_blocks(const MatchRows& a, const MatchColumns& b);
  void find_candidates(const MatchRows& a, const MatchColumns& b, const Candidates& of_rows,
                       const Candidates& of_columns);

  FloatMode float_mode_;
  const MatchIsa& isa_;
  Buffer<int32_t> block_keys_;  // of one block
  Buffer<int64_t> keys_;        // of the pair; only where photos are larger than a block
  Buffer<int64_t> candidates_;  // made by the first pair in two passes
  Buffer<uint8_t> last_panel_;
  Buffer<int32_t> indices_;
  Buffer<float> ratios_;
  MatchKeys<int32_t> small_;
  NearestKeys large_;
  int64_t max_rows_;
  int64_t max_columns_;
  MatchList list_;
};

}  // namespace mirror
