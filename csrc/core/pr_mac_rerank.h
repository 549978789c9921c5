// Exact scores of listed candidates, unchecked: pr_mac_rerank without its checks, for pr_mac_topk.
#pragma once

#include <cstdint>

#include "core/pr_mac_reduce.h"

namespace mirror {
namespace prmac {

// |t|^2 / 2 of all target regions [images, capacity], for distances; empty for similarities.
template <class T>
Buffer<T> half_norms(const Regions& target, Reduction reduction, const Parallel& parallel);

// Scores one query image against any number of target images, one after another.
template <class T>
class Scorer {
 public:
  // biases: what half_norms gave, which must outlive this; nullptr: they are computed for every candidate anew.
  Scorer(const Regions& query, const Regions& target, Reduction reduction, const T* biases);
  void set_query(int64_t image);
  // `next` is the image that will be scored next, or -1: it is fetched into the cache meanwhile.
  T score(int64_t target_image, int64_t next);

 private:
  Vectors<T> query_, target_;
  Reducer<T> reducer_;
  const Kernel<T>& kernel_;
  bool distance_;
  int64_t image_ = -1;
  int64_t packed_lanes_ = 0;
  Buffer<T> query_scratch_, target_scratch_;
  Buffer<T> lanes_;  // strips [channels, width], one after another
  Buffer<T> norms_;  // [query regions]
  const T* biases_;
  Buffer<T> bias_;  // [target regions]
  Buffer<T> best_;  // [lanes]
};

}  // namespace prmac
}  // namespace mirror
