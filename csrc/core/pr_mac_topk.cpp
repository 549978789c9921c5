// The k closest targets of every query: run_join with a consumer that keeps running lists.
#include <algorithm>
#include <stdexcept>
#include <string>

#include "core/pr_mac_certified.h"
#include "core/pr_mac_check.h"
#include "core/pr_mac_reduce.h"
#include "core/pr_mac_rerank.h"
#include "core/pr_mac_topk.h"

namespace mirror {
namespace {

using namespace prmac;

// Offers the scores of a block x group to the lists of its queries.
template <class T>
class ListFiller {
 public:
  ListFiller(const Join<T>& join, Reduction reduction, TopLists<T>* lists)
      : join_(join), reducer_(join.query, join.target, reduction), lists_(lists), line_(join.kernel.lanes) {}

  void operator()(const Products<T>& p) {
    for (int64_t i = 0; i < p.block.images; ++i) {
      const int64_t image = p.block.first + i, row = p.block.offsets[i];
      reducer_.rows(image, p.group.first, p.group.images, p.block.norms.data() + row, p.best + row * p.lanes,
                    nullptr, p.lanes, line_.get());
      // Self-join: pairs (image, lane) with image <= lane are new, the others were or will be met the other way.
      const int64_t skip =
          join_.self ? std::min(p.group.images, std::max<int64_t>(0, image - p.group.first)) : 0;
      lists_->offer(image, p.group.first + skip, p.group.images - skip, line_.get() + skip);
      if (!p.column_best) continue;
      reducer_.columns(p.group.first, p.group.images, p.group.regions, image, p.group.norms.data(),
                       p.column_best + i * p.group.regions * p.lanes, p.lanes, line_.get());
      for (int64_t l = 0; l < p.group.images; ++l)
        if (image < p.group.first + l) lists_->offer(p.group.first + l, image, 1, &line_[l]);
    }
  }

 private:
  const Join<T>& join_;
  Reducer<T> reducer_;
  TopLists<T>* lists_;
  Buffer<T> line_;
};

template <class T>
void fill_lists(const Regions& query, const Regions& target, bool self, Reduction reduction,
                Precision precision, int64_t k, T* values, int64_t* indices, const Parallel& parallel) {
  Join<T> join(query, target, self, reduction, precision);
  join.plan(parallel.threads);
  TopLists<T> lists(query.images, k, reduction, values, indices);
  run_join(join, [&] { return ListFiller<T>(join, reduction, &lists); }, parallel);
  for (int64_t q = 0; q < query.images; ++q) lists.finish(q);
}

// bfloat16 first: the top k + margin of it, scored again exactly.
void two_passes(const Regions& query, const Regions& target, bool self, Reduction reduction, int64_t k,
                int64_t kept, float* values, int64_t* indices, const Parallel& parallel) {
  Buffer<float> rough(query.images * kept);
  Buffer<int64_t> candidates(query.images * kept);
  fill_lists(query, target, self, reduction, Precision::kBf16, kept, rough.get(), candidates.get(), parallel);
  TopLists<float> lists(query.images, k, reduction, values, indices);
  const Buffer<float> biases = half_norms<float>(target, reduction, parallel);
  auto make_worker = [&] {
    return [&, scorer = Scorer<float>(query, target, reduction, biases.get())](int64_t q) mutable {
      const int64_t* list = candidates.get() + q * kept;
      scorer.set_query(q);
      for (int64_t i = 0; i < kept; ++i)
        lists.offer_one(q, list[i], scorer.score(list[i], i + 1 < kept ? list[i + 1] : -1));
      lists.finish(q);
    };
  };
  run_tasks(parallel, query.images, make_worker);
}

void top_k(const Regions& query, const Regions& target, bool self, Reduction reduction,
           const TopKOptions& options, void* values, int64_t* indices, const Parallel& parallel) {
  check_pair("pr_mac_topk", query, target);
  check_reduction("pr_mac_topk", reduction);
  check_precision("pr_mac_topk", query, options.precision);
  if (options.k < 0)
    throw std::invalid_argument("pr_mac_topk: k: expected 0 or more, got " + std::to_string(options.k));
  if (options.margin < 0)
    throw std::invalid_argument("pr_mac_topk: margin: expected 0 or more, got " +
                                std::to_string(options.margin));
  const int64_t k = options.k, kept = options.certified ? k + 1 : k + std::min(options.margin, target.images);
  if (query.scalar == Scalar::kFloat64)
    fill_lists(query, target, self, reduction, Precision::kExact, k, static_cast<double*>(values), indices,
               parallel);
  else if (options.precision == Precision::kExact || kept >= target.images)
    fill_lists(query, target, self, reduction, Precision::kExact, k, static_cast<float*>(values), indices,
               parallel);
  else if (options.certified)
    certified_top_k(query, target, self, reduction, k, static_cast<float*>(values), indices, parallel);
  else
    two_passes(query, target, self, reduction, k, kept, static_cast<float*>(values), indices, parallel);
}

}  // namespace

void pr_mac_topk(const Regions& query, const Regions& target, Reduction reduction, const TopKOptions& options,
                 void* values, int64_t* indices, const Parallel& parallel) {
  top_k(query, target, false, reduction, options, values, indices, parallel);
}

void pr_mac_topk_self(const Regions& images, Reduction reduction, const TopKOptions& options, void* values,
                      int64_t* indices, const Parallel& parallel) {
  top_k(images, images, true, reduction, options, values, indices, parallel);
}

}  // namespace mirror
