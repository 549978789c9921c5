// From the maxima over target regions to scores.
#pragma once

#include <cstdint>

#include "core/pr_mac_join.h"

namespace mirror {
namespace prmac {

// One query image against some targets: best [regions, lanes] becomes scores [lanes]. Distances: best is overwritten
// by squared distances. Sums run over regions in rising order, so that every path gives the same bits.
template <class T>
class Reducer {
 public:
  Reducer(const Vectors<T>& query, const Vectors<T>& target, Reduction reduction);

  // norms [regions]: |q|^2. Lane l is target image first_target + l for l < targets. index as best, or nullptr.
  void rows(int64_t query_image, int64_t first_target, int64_t targets, const T* norms, T* best, int32_t* index,
            int64_t lanes, T* scores);

  // The other way round: lane l is query image first_query + l, whose norms are norms[region, l].
  void columns(int64_t first_query, int64_t queries, int64_t regions, int64_t target_image, const T* norms, T* best,
               int64_t lanes, T* scores);

  // The score of a query image or target image without regions.
  T worst() const;

 private:
  T repaired(int64_t query_image, int64_t region, int64_t target_image, int32_t* index);

  Vectors<T> query_, target_;
  Reduction reduction_;
  bool distance_;
  Buffer<T> query_row_, target_row_;
};

}  // namespace prmac
}  // namespace mirror
