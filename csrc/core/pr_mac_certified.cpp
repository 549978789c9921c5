// Top-k through bfloat16 products that is provably the exact one. With x' = x rounded to bfloat16, of any length:
//
//   similarity   |<q,t> - <q',t'>| <= |q-q'| |t| + |q'| |t-t'|            (Cauchy-Schwarz)
//   distance     ||q-t| - |q'-t'|| <= |q-q'| + |t-t'|                     (triangle inequality)
//
// Both hold for the maximum (minimum) over a target's regions with the largest |t| and |t-t'| of that target. `slack`
// adds what float32 arithmetic may lose in either sum. So every number that a score folds is known within an interval,
// and, since folding is monotone, every exact score too. A target is dropped only when k others are certainly closer;
// the rest are scored exactly.
#include "core/pr_mac_certified.h"

#include <algorithm>
#include <vector>

#include "core/pr_mac_reduce.h"
#include "core/pr_mac_rerank.h"
#include "core/pr_mac_topk.h"

namespace mirror {
namespace prmac {
namespace {

// |x| and |x - x'| of every region, and the largest of each image.
struct Roundings {
  std::vector<double> norm, residual;            // [images, capacity]
  std::vector<double> most_norm, most_residual;  // [images]
};

Roundings measure(const Regions& regions, const Parallel& parallel) {
  const Vectors<float> exact(regions, false), rounded(regions, true);
  const int64_t capacity = regions.capacity, channels = regions.channels;
  Roundings out;
  out.norm.resize(regions.images * capacity);
  out.residual.resize(regions.images * capacity);
  out.most_norm.resize(regions.images);
  out.most_residual.resize(regions.images);
  constexpr double kUp = 1 + 1e-6;  // far more than sums in double lose
  auto make_worker = [&] {
    return [&, a = Buffer<float>(channels), b = Buffer<float>(channels)](int64_t image) {
      const FloatMode mode;
      for (int64_t r = 0; r < exact.size(image); ++r) {
        const float* x = exact.row(image, r, a.get());
        const float* y = rounded.row(image, r, b.get());
        double residual = 0;
        for (int64_t c = 0; c < channels; ++c) {
          const double difference = static_cast<double>(x[c]) - static_cast<double>(y[c]);
          residual += difference * difference;
        }
        const int64_t i = image * capacity + r;
        out.norm[i] = std::sqrt(squared_norm(x, channels)) * kUp;
        out.residual[i] = std::sqrt(residual) * kUp;
        // A NaN must stay the largest: it proves nothing.
        if (!(out.norm[i] <= out.most_norm[image])) out.most_norm[image] = out.norm[i];
        if (!(out.residual[i] <= out.most_residual[image])) out.most_residual[image] = out.residual[i];
      }
    };
  };
  run_tasks(parallel, regions.images, make_worker);
  return out;
}

struct Interval {
  float low, high;
};

// Widened by more than the conversion to float32 rounds. Where infinities or NaN came in, nothing is known.
Interval outward(double low, double high, float least) {
  constexpr double kUlp = 0x1p-22;
  const Interval x{static_cast<float>(low - std::abs(low) * kUlp),
                   static_cast<float>(high + std::abs(high) * kUlp)};
  if (!(x.low <= x.high)) return {least, std::numeric_limits<float>::infinity()};
  return {std::max(x.low, least), x.high};
}

// What the exact number of a query region (|q|, |q-q'|) and a target (|t|, |t-t'|) can be, given the rough one.
class Bound {
 public:
  Bound(Reduction reduction, int64_t channels)
      : distance_(is_distance(reduction)),
        // A chain of n float32 operations errs by at most n 2^-24 of the sum of absolute values, which is at most
        // |q| |t|, (|q| + |t|)^2 for distances. Four times that covers both sums, the roundings around them, and
        // products of subnormal numbers, which hardware may flush.
        share_(static_cast<double>(channels + 8) * 0x1p-22),
        tiny_(static_cast<double>(channels + 8) * 0x1p-120) {}

  // rough: similarity, or squared distance.
  Interval operator()(float rough, double q, double dq, double t, double dt) const {
    const double x = rough;
    if (!distance_) {
      const double e = dq * t + (q + dq) * dt + share_ * (q + dq) * (t + dt) + tiny_ * (1 + q + t);
      return outward(x - e, x + e, -std::numeric_limits<float>::infinity());
    }
    const double length = q + dq + t + dt, slack = share_ * length * length + tiny_ * (1 + length),
                 e = dq + dt;
    const double near = std::max(0.0, std::sqrt(std::max(0.0, x - slack)) - e);
    const double far = std::sqrt(x + slack) + e;
    return outward(near * near - slack, far * far + slack, 0.f);
  }

 private:
  bool distance_;
  double share_, tiny_;
};

// The targets of each query that may belong to its k closest.
class Candidates {
 public:
  Candidates(int64_t queries, int64_t k, Reduction reduction, float* values, int64_t* indices)
      : higher_(higher_is_closer(reduction)),
        first_limit_(2 * k + 64),
        sure_values_(queries * k),
        sure_indices_(queries * k),
        sure_(queries, k, reduction, sure_values_.get(), sure_indices_.get()),
        exact_(queries, k, reduction, values, indices),
        open_(static_cast<size_t>(queries)),
        limits_(static_cast<size_t>(queries), first_limit_) {}

  // Thread-safe. `scorer` scores exactly.
  void offer(int64_t query, int64_t target, Interval score, Scorer<float>* scorer) {
    const std::lock_guard<std::mutex> lock(locks_[query % kLocks]);
    const float best = higher_ ? score.high : score.low, worst = higher_ ? score.low : score.high;
    if (excluded(query, target, best)) return;
    sure_.offer_one(query, target, worst);
    open_[query].push_back({target, best});
    if (static_cast<int64_t>(open_[query].size()) > limits_[query]) shrink(query, scorer);
  }

  // Scores what is left and finishes the list.
  void finish(int64_t query, Scorer<float>* scorer) {
    drop_excluded(query);
    score_open(query, scorer);
    exact_.finish(query);
  }

 private:
  struct Candidate {
    int64_t target;
    float best;  // what its score can be at best
  };

  bool excluded(int64_t query, int64_t target, float best) const {
    return sure_.excludes(query, target, best) || exact_.excludes(query, target, best);
  }

  void drop_excluded(int64_t query) {
    std::vector<Candidate>& list = open_[query];
    list.erase(std::remove_if(list.begin(), list.end(),
                              [&](const Candidate& c) { return excluded(query, c.target, c.best); }),
               list.end());
  }

  // Keeps the memory bounded, whatever the data: lists may grow to kMost, then they are scored on the spot.
  void shrink(int64_t query, Scorer<float>* scorer) {
    drop_excluded(query);
    int64_t& limit = limits_[query];
    if (static_cast<int64_t>(open_[query].size()) * 2 <= limit) return;
    if (limit < kMost)
      limit *= 2;
    else
      score_open(query, scorer);
  }

  void score_open(int64_t query, Scorer<float>* scorer) {
    scorer->set_query(query);
    const std::vector<Candidate>& list = open_[query];
    for (size_t i = 0; i < list.size(); ++i) {
      const int64_t next = i + 1 < list.size() ? list[i + 1].target : -1;
      exact_.offer_one(query, list[i].target, scorer->score(list[i].target, next));
    }
    open_[query].clear();
  }

  static constexpr int64_t kMost = 4096, kLocks = 256;

  bool higher_;
  int64_t first_limit_;
  Buffer<float> sure_values_;
  Buffer<int64_t> sure_indices_;
  TopLists<float> sure_;   // by the worst that a score can be
  TopLists<float> exact_;  // scored
  std::vector<std::vector<Candidate>> open_;
  std::vector<int64_t> limits_;
  std::vector<std::mutex> locks_{kLocks};
};

// Offers the interval of every pair of a block x group.
class IntervalFiller {
 public:
  IntervalFiller(const Regions& query, const Regions& target, const Join<float>& join, Reduction reduction,
                 const Roundings& of_query, const Roundings& of_target, const float* biases,
                 Candidates* candidates)
      : join_(join),
        reduction_(reduction),
        bound_(reduction, query.channels),
        of_query_(of_query),
        of_target_(of_target),
        candidates_(candidates),
        scorer_(query, target, reduction, biases) {}

  void operator()(const Products<float>& p) {
    for (int64_t i = 0; i < p.block.images; ++i) {
      const int64_t image = p.block.first + i, row = p.block.offsets[i];
      for (int64_t l = 0; l < p.group.images; ++l) {
        const int64_t other = p.group.first + l;
        if (!join_.self || image <= other)
          offer(image, other, p.block.norms.data() + row, 1, p.best + row * p.lanes + l, p.lanes);
        if (p.column_best && image < other)
          offer(other, image, p.group.norms.data() + l, p.lanes,
                p.column_best + i * p.group.regions * p.lanes + l, p.lanes);
      }
    }
  }

 private:
  void offer(int64_t q, int64_t t, const float* norms, int64_t norm_step, const float* best,
             int64_t best_step) {
    const int64_t regions = join_.query.size(q), first = q * join_.query.capacity();
    Interval sum{start_score<float>(reduction_), start_score<float>(reduction_)};
    for (int64_t r = 0; r < regions; ++r) {
      float rough = best[r * best_step];
      if (join_.distance) rough = squared_distance(norms[r * norm_step], rough);
      const Interval x = bound_(rough, of_query_.norm[first + r], of_query_.residual[first + r],
                                of_target_.most_norm[t], of_target_.most_residual[t]);
      accumulate(reduction_, x.low, &sum.low);
      accumulate(reduction_, x.high, &sum.high);
    }
    sum = {finish_score(reduction_, sum.low, regions), finish_score(reduction_, sum.high, regions)};
    candidates_->offer(q, t, sum, &scorer_);
  }

  const Join<float>& join_;
  Reduction reduction_;
  Bound bound_;
  const Roundings& of_query_;
  const Roundings& of_target_;
  Candidates* candidates_;
  Scorer<float> scorer_;
};

}  // namespace

void certified_top_k(const Regions& query, const Regions& target, bool self, Reduction reduction, int64_t k,
                     float* values, int64_t* indices, const Parallel& parallel) {
  const Roundings of_query = measure(query, parallel);
  const Roundings of_target = self ? of_query : measure(target, parallel);
  Join<float> join(query, target, self, reduction, Precision::kBf16);
  join.plan(parallel.threads);
  Candidates candidates(query.images, k, reduction, values, indices);
  const Buffer<float> biases = half_norms<float>(target, reduction, parallel);
  auto make_filler = [&] {
    return IntervalFiller(query, target, join, reduction, of_query, of_target, biases.get(), &candidates);
  };
  run_join(join, make_filler, parallel);
  auto make_scorer = [&] {
    return [&, scorer = Scorer<float>(query, target, reduction, biases.get())](int64_t q) mutable {
      candidates.finish(q, &scorer);
    };
  };
  run_tasks(parallel, query.images, make_scorer);
}

}  // namespace prmac
}  // namespace mirror
