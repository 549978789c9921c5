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
};
struct MatchColumns {
  const uint8_t* packed;
  const int32_t* norms;
  int32_t size;
};

class PairMatcher {
 public:
  // Photos with at most so many features.
  PairMatcher(const MatchIsa& isa, int64_t max_rows, int64_t max_columns);
  ~PairMatcher();

  float score(const MatchRows& a, const MatchColumns& b);
  // The list is this object's scratch memory; valid until the next call.
  int32_t matches(const MatchRows& a, const MatchColumns& b);
  const MatchList& list() const { return list_; }

 private:
  void multiply(const MatchRows& a, const MatchColumns& b, int64_t row, int64_t column);
  void merge_blocks(const MatchRows& a, const MatchColumns& b);

  FloatMode float_mode_;
  const MatchIsa& isa_;
  Buffer<int32_t> block_keys_;  // of one block
  Buffer<int64_t> keys_;        // of the pair; only where photos are larger than a block
  Buffer<uint8_t> last_panel_;
  Buffer<int32_t> indices_;
  Buffer<float> ratios_;
  MatchKeys<int32_t> small_;
  MatchKeys<int64_t> large_;
  MatchList list_;
};

}  // namespace mirror
