#include "core/pr_mac_reduce.h"

#include <algorithm>

namespace mirror {
namespace prmac {
namespace {

// |q|^2 - 2 (q.t - |t|^2 / 2) loses its digits where q and t are close. Below this share of |q|^2 the distance is
// computed again from the differences.
template <class T>
constexpr T kCancelled = T(1) / 64;

}  // namespace

template <class T>
Reducer<T>::Reducer(const Vectors<T>& query, const Vectors<T>& target, Reduction reduction)
    : query_(query),
      target_(target),
      reduction_(reduction),
      distance_(is_distance(reduction)),
      query_row_(query.scratch_size(1)),
      target_row_(target.scratch_size(1)) {}

template <class T>
T Reducer<T>::repaired(int64_t query_image, int64_t region, int64_t target_image, int32_t* index) {
  const T* row = query_.row(query_image, region, query_row_.get());
  return direct_squared_distance(row, target_, target_image, target_row_.get(), index);
}

template <class T>
void Reducer<T>::rows(int64_t query_image, int64_t first_target, int64_t targets, const T* norms, T* best,
                      int32_t* index, int64_t lanes, T* scores) {
  const int64_t regions = query_.size(query_image);
  for (int64_t l = 0; l < targets; ++l) scores[l] = start_score<T>(reduction_);
  for (int64_t i = 0; i < regions; ++i) {
    T* line = best + i * lanes;
    if (distance_) {
      const T limit = norms[i] * kCancelled<T>;
      for (int64_t l = 0; l < targets; ++l) line[l] = squared_distance(norms[i], line[l]);
      for (int64_t l = 0; l < targets; ++l)
        if (__builtin_expect(line[l] < limit, 0))
          line[l] = repaired(query_image, i, first_target + l, index ? index + i * lanes + l : nullptr);
    }
    accumulate(reduction_, line, targets, scores);
  }
  for (int64_t l = 0; l < targets; ++l) scores[l] = finish_score(reduction_, scores[l], regions);
}

template <class T>
void Reducer<T>::columns(int64_t first_query, int64_t queries, int64_t regions, int64_t target_image,
                         const T* norms, T* best, int64_t lanes, T* scores) {
  for (int64_t l = 0; l < queries; ++l) scores[l] = start_score<T>(reduction_);
  int64_t complete = regions;  // regions that all query images have
  for (int64_t l = 0; l < queries; ++l) complete = std::min(complete, query_.size(first_query + l));
  for (int64_t r = 0; r < regions; ++r) {
    T* line = best + r * lanes;
    const T* norm = norms + r * lanes;
    if (distance_) {
      for (int64_t l = 0; l < queries; ++l) line[l] = squared_distance(norm[l], line[l]);
      for (int64_t l = 0; l < queries; ++l)
        if (__builtin_expect(line[l] < norm[l] * kCancelled<T>, 0))
          line[l] = repaired(first_query + l, r, target_image, nullptr);
    }
    if (r < complete)
      accumulate(reduction_, line, queries, scores);
    else
      for (int64_t l = 0; l < queries; ++l)
        if (r < query_.size(first_query + l)) accumulate(reduction_, line[l], &scores[l]);
  }
  for (int64_t l = 0; l < queries; ++l)
    scores[l] = finish_score(reduction_, scores[l], query_.size(first_query + l));
}

template class Reducer<float>;
template class Reducer<double>;

}  // namespace prmac
}  // namespace mirror
