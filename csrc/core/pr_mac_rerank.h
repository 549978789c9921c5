// Exact scores of listed candidates, unchecked: pr_mac_rerank without its checks, for pr_mac_topk.
#pragma once

#include <cstdint>

#include "core/pr_mac_reduce.h"

namespace mirror {
namespace prmac {

// Scores one query image against any number of target images, one after another.
template <class T>
class Scorer {
 public:
  Scorer(const Regions& query, const Regions& target, Reduction reduction);
  void set_query(int64_t image);
  T score(int64_t target_image);
  void prefetch(int64_t target_image) const;

 private:
  void pack();

  Vectors<T> query_, target_;
  Reducer<T> reducer_;
  const Kernel<T>& kernel_;
  bool distance_;
  int64_t image_ = -1;
  int64_t packed_lanes_ = 0;
  Buffer<T> query_scratch_, target_scratch_;
  Buffer<T> lanes_;  // strips [channels, width], one after another
  Buffer<T> norms_;  // [query regions]
  Buffer<T> bias_;   // [target regions]
  Buffer<T> best_;   // [lanes]
};

}  // namespace prmac
}  // namespace mirror
