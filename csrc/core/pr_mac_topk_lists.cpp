#include "core/pr_mac_topk.h"

#include <limits>
#include <utility>

namespace mirror {
namespace prmac {
namespace {

template <class T>
bool worse(T a, int64_t a_index, T b, int64_t b_index) {
  return a < b || (a == b && a_index > b_index);
}

// Restores a heap (worst entry first) of `size` entries after entry i was replaced by a closer one.
template <class T>
void sift_down(T* values, int64_t* indices, int64_t size, int64_t i) {
  for (int64_t child; (child = 2 * i + 1) < size; i = child) {
    if (child + 1 < size && worse(values[child + 1], indices[child + 1], values[child], indices[child]))
      ++child;
    if (!worse(values[child], indices[child], values[i], indices[i])) return;
    std::swap(values[child], values[i]);
    std::swap(indices[child], indices[i]);
  }
}

template <class T>
void sift_up(T* values, int64_t* indices, int64_t i) {
  for (int64_t parent; i > 0; i = parent) {
    parent = (i - 1) / 2;
    if (!worse(values[i], indices[i], values[parent], indices[parent])) return;
    std::swap(values[parent], values[i]);
    std::swap(indices[parent], indices[i]);
  }
}

}  // namespace

template <class T>
TopLists<T>::TopLists(int64_t queries, int64_t k, Reduction reduction, T* values, int64_t* indices)
    : k_(k),
      higher_(higher_is_closer(reduction)),
      values_(values),
      indices_(indices),
      sizes_(static_cast<size_t>(queries), 0) {}

template <class T>
T TopLists<T>::closeness(T score) const {
  if (score != score) return -std::numeric_limits<T>::infinity();
  return higher_ ? score : -score;
}

template <class T>
void TopLists<T>::push(int64_t query, int64_t target, T closeness) {
  T* values = values_ + query * k_;
  int64_t* indices = indices_ + query * k_;
  int64_t& size = sizes_[query];
  if (size < k_) {
    values[size] = closeness;
    indices[size] = target;
    sift_up(values, indices, size++);
  } else if (k_ > 0 && worse(values[0], indices[0], closeness, target)) {
    values[0] = closeness;
    indices[0] = target;
    sift_down(values, indices, size, 0);
  }
}

template <class T>
void TopLists<T>::offer(int64_t query, int64_t first_target, int64_t count, const T* scores) {
  const std::lock_guard<std::mutex> lock(locks_[query % kLocks]);
  for (int64_t i = 0; i < count; ++i) push(query, first_target + i, closeness(scores[i]));
}

template <class T>
bool TopLists<T>::excludes(int64_t query, int64_t target, T score) const {
  if (k_ == 0) return true;
  if (sizes_[query] < k_ || score != score) return false;
  const int64_t worst = query * k_;
  return worse(higher_ ? score : -score, target, values_[worst], indices_[worst]);
}

template <class T>
void TopLists<T>::finish(int64_t query) {
  T* values = values_ + query * k_;
  int64_t* indices = indices_ + query * k_;
  for (int64_t last = sizes_[query] - 1; last > 0; --last) {
    std::swap(values[0], values[last]);
    std::swap(indices[0], indices[last]);
    sift_down(values, indices, last, 0);
  }
  for (int64_t i = sizes_[query]; i < k_; ++i) {
    values[i] = -std::numeric_limits<T>::infinity();
    indices[i] = -1;
  }
  if (higher_) return;
  for (int64_t i = 0; i < k_; ++i) values[i] = T(0) - values[i];  // 0 - 0, not -0
}

template class TopLists<float>;
template class TopLists<double>;

}  // namespace prmac
}  // namespace mirror
