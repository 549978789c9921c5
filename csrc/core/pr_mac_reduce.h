// From the maxima over target regions to scores.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/pr_mac_join.h"

namespace mirror {
namespace prmac {

// A reading folds one number per query region: s_i for similarities, d_i^2 for distances. Each step is monotone in that
// number, in floating point too: bounds of the numbers give bounds of the score (pr_mac_certified.cpp).
template <class T>
T start_score(Reduction reduction) {
  return reduction == Reduction::kBest ? -std::numeric_limits<T>::infinity() : T(0);
}

template <class T>
void accumulate(Reduction reduction, T x, T* sum) {
  switch (reduction) {
    case Reduction::kCosine:
    case Reduction::kSqEuclid:
    case Reduction::kEuclidL2:
      *sum += x;
      break;
    case Reduction::kEuclidSum:
      *sum += std::sqrt(x);
      break;
    case Reduction::kBest:
    case Reduction::kHausdorff:
      *sum = x > *sum ? x : *sum;
      break;
  }
}

// The same for `count` scores at once.
template <class T>
void accumulate(Reduction reduction, const T* x, int64_t count, T* sums) {
  switch (reduction) {
    case Reduction::kCosine:
    case Reduction::kSqEuclid:
    case Reduction::kEuclidL2:
      for (int64_t i = 0; i < count; ++i) sums[i] += x[i];
      break;
    case Reduction::kEuclidSum:
      for (int64_t i = 0; i < count; ++i) sums[i] += std::sqrt(x[i]);
      break;
    case Reduction::kBest:
    case Reduction::kHausdorff:
      for (int64_t i = 0; i < count; ++i) sums[i] = x[i] > sums[i] ? x[i] : sums[i];
      break;
  }
}

template <class T>
T finish_score(Reduction reduction, T sum, int64_t regions) {
  if (regions == 0) return T(0);
  switch (reduction) {
    case Reduction::kCosine:
      return sum / static_cast<T>(regions);
    case Reduction::kEuclidL2:
    case Reduction::kHausdorff:
      return std::sqrt(sum);
    default:
      return sum;
  }
}

// From the maximum of <q, t> - |t|^2 / 2.
template <class T>
T squared_distance(T norm, T best) {
  const T d = norm - 2 * best;
  return d < 0 ? T(0) : d;
}

// One query image against some targets: best [regions, lanes] becomes scores [lanes]. Distances: best is overwritten
// by squared distances. Sums run over regions in rising order, so that every path gives the same bits.
template <class T>
class Reducer {
 public:
  Reducer(const Vectors<T>& query, const Vectors<T>& target, Reduction reduction);

  // norms [regions]: |q|^2. Lane l is target image first_target + l for l < targets. index as best, or nullptr.
  void rows(int64_t query_image, int64_t first_target, int64_t targets, const T* norms, T* best,
            int32_t* index, int64_t lanes, T* scores);

  // The other way round: lane l is query image first_query + l, whose norms are norms[region, l].
  void columns(int64_t first_query, int64_t queries, int64_t regions, int64_t target_image, const T* norms,
               T* best, int64_t lanes, T* scores);

 private:
  T repaired(int64_t query_image, int64_t region, int64_t target_image, int32_t* index);

  Vectors<T> query_, target_;
  Reduction reduction_;
  bool distance_;
  Buffer<T> query_row_, target_row_;
};

}  // namespace prmac
}  // namespace mirror
