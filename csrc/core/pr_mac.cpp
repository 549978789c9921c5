// Scores of all pairs. The work is done by run_join (blocks of products) and Reducer (products to scores).
#include "mirror/pr_mac.h"

#include "core/pr_mac_check.h"
#include "core/pr_mac_join.h"
#include "core/pr_mac_reduce.h"

namespace mirror {
namespace {

using namespace prmac;

// Writes the scores of a block x group where they belong.
template <class T>
class ScoreWriter {
 public:
  ScoreWriter(const Join<T>& join, Reduction reduction, T* scores, int32_t* argmax)
      : join_(join),
        reducer_(join.query, join.target, reduction),
        out_(scores),
        argmax_(argmax),
        line_(join.kernel.lanes) {}

  void operator()(const Products<T>& p) {
    const int64_t targets = join_.target.images();
    for (int64_t i = 0; i < p.block.images; ++i) {
      const int64_t image = p.block.first + i, row = p.block.offsets[i];
      reducer_.rows(image, p.group.first, p.group.images, p.block.norms.data() + row, p.best + row * p.lanes,
                    p.index ? p.index + row * p.lanes : nullptr, p.lanes, line_.get());
      for (int64_t l = 0; l < p.group.images; ++l)
        if (!join_.self || image <= p.group.first + l) out_[image * targets + p.group.first + l] = line_[l];
      if (p.index) write_argmax(p, i);
      if (!p.column_best) continue;
      reducer_.columns(p.group.first, p.group.images, p.group.regions, image, p.group.norms.data(),
                       p.column_best + i * p.group.regions * p.lanes, p.lanes, line_.get());
      for (int64_t l = 0; l < p.group.images; ++l)
        if (image < p.group.first + l) out_[(p.group.first + l) * targets + image] = line_[l];
    }
  }

 private:
  void write_argmax(const Products<T>& p, int64_t i) {
    const int64_t image = p.block.first + i, capacity = join_.query.capacity();
    const int64_t regions = join_.query.size(image);
    for (int64_t l = 0; l < p.group.images; ++l) {
      int32_t* out = argmax_ + (image * join_.target.images() + p.group.first + l) * capacity;
      const bool empty = join_.target.size(p.group.first + l) == 0;
      for (int64_t r = 0; r < capacity; ++r)
        out[r] = r < regions && !empty ? p.index[(p.block.offsets[i] + r) * p.lanes + l] : -1;
    }
  }

  const Join<T>& join_;
  Reducer<T> reducer_;
  T* out_;
  int32_t* argmax_;
  Buffer<T> line_;
};

template <class T>
void all_pairs(const Regions& query, const Regions& target, bool self, Reduction reduction,
               Precision precision, void* scores, int32_t* argmax, const Parallel& parallel) {
  Join<T> join(query, target, self, reduction, precision);
  join.want_index = argmax != nullptr;
  join.plan(parallel.threads);
  auto make_writer = [&] { return ScoreWriter<T>(join, reduction, static_cast<T*>(scores), argmax); };
  run_join(join, make_writer, parallel);
}

}  // namespace

void pr_mac(const Regions& query, const Regions& target, Reduction reduction, Precision precision,
            void* scores, int32_t* argmax, const Parallel& parallel) {
  check_pair("pr_mac", query, target);
  check_reduction("pr_mac", reduction);
  check_precision("pr_mac", query, precision);
  if (query.scalar == Scalar::kFloat64)
    all_pairs<double>(query, target, false, reduction, precision, scores, argmax, parallel);
  else
    all_pairs<float>(query, target, false, reduction, precision, scores, argmax, parallel);
}

void pr_mac_self(const Regions& images, Reduction reduction, Precision precision, void* scores,
                 int32_t* argmax, const Parallel& parallel) {
  // The self-join keeps no indices (they are needed for training only): the bits are the same either way.
  if (argmax) return pr_mac(images, images, reduction, precision, scores, argmax, parallel);
  check_regions("pr_mac", "query", images);
  check_reduction("pr_mac", reduction);
  check_precision("pr_mac", images, precision);
  if (images.scalar == Scalar::kFloat64)
    all_pairs<double>(images, images, true, reduction, precision, scores, nullptr, parallel);
  else
    all_pairs<float>(images, images, true, reduction, precision, scores, nullptr, parallel);
}

}  // namespace mirror
