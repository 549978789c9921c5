// Running top-k lists: the k closest of all that were offered, in any order and from any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "core/pr_mac_join.h"

namespace mirror {
namespace prmac {

// One list per query over memory of the caller: values and indices [queries, k]. While they grow, the lists are heaps
// of closeness (higher is closer) with the worst entry first. The order is total (ties: lower index), so the result
// does not depend on the order of offers. NaN counts as -infinity.
template <class T>
class TopLists {
 public:
  TopLists(int64_t queries, int64_t k, Reduction reduction, T* values, int64_t* indices);

  // count consecutive targets starting at first_target. Thread-safe.
  void offer(int64_t query, int64_t first_target, int64_t count, const T* scores);
  // The same for listed targets, by the only thread that touches this query.
  void offer_one(int64_t query, int64_t target, T score) { push(query, target, closeness(score)); }
  // True where k others are closer than a target of this score would be. The same thread rule.
  bool excludes(int64_t query, int64_t target, T score) const;

  // Heap -> list, closest first, as scores; the tail is filled with (worst score, -1).
  void finish(int64_t query);

 private:
  T closeness(T score) const;
  void push(int64_t query, int64_t target, T closeness);
  static constexpr int64_t kLocks = 256;

  int64_t k_;
  bool higher_;
  T* values_;
  int64_t* indices_;
  std::vector<int64_t> sizes_;
  std::vector<std::mutex> locks_{kLocks};
};

}  // namespace prmac
}  // namespace mirror
