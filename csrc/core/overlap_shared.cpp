// What every two sets share. Sets of visible triangles are sparse, but where they have any bit they have many: only blocks of
// 512 triangles with a bit count. The blocks are taken in slabs; of each slab the occupied ones are laid side by side
//
//            set 0  set 1  set 2  set 3  ...
//   block 0    x             x             -> words of sets 0, 2, in groups of eight
//   block 1           x      x      x      -> words of sets 1, 2, 3
//
// and then every block is compared with itself. A task owns rows of the result, and blocks come in rising order, so
// neither numbers nor sums depend on the threads.
#include <algorithm>
#include <vector>

#include "core/overlap_check.h"
#include "core/overlap_kernels.h"
#include "core/tasks.h"
#include "mirror/overlap.h"

namespace mirror {
namespace {

using namespace overlap;

constexpr int64_t kSlabBytes = int64_t{16}
                               << 20;  // of the sets: what the caches still hold when it is laid out
constexpr int64_t kRowsBytes = int64_t{256} << 10;  // of the result, for a task
constexpr int64_t kGroupWords = kBlockWords * kLanes;

class Slabs {
 public:
  Slabs(const Bitsets& sets, const Kernels& kernels)
      : sets_(sets), kernels_(kernels), blocks_((sets.words + kBlockWords - 1) / kBlockWords) {
    const int64_t wanted = std::min(kSlabBytes, sets.views * sets.words * 8 / 4);
    const int64_t padded = (sets.views + kLanes - 1) / kLanes * kLanes;
    step_ = std::clamp<int64_t>(wanted / (padded * kBlockWords * 8), 1, std::max<int64_t>(blocks_, 1));
    masks_ = (step_ + 63) / 64;
    occupied_.resize(static_cast<size_t>(sets.views * masks_));
    starts_.resize(static_cast<size_t>(step_ + 1));
    members_.resize(static_cast<size_t>(step_));
  }

  int64_t blocks() const { return blocks_; }
  int64_t step() const { return step_; }

  // Lays out blocks first..first+step-1.
  void lay_out(int64_t first, const Parallel& parallel) {
    first_ = first;
    count_ = std::min(step_, blocks_ - first);
    run_tasks(parallel, sets_.views, [&] { return [&](int64_t view) { find_occupied(view); }; });
    list_members();
    run_tasks(parallel, count_, [&] { return [&](int64_t b) { lay_out_block(b); }; });
  }

  // work(block's number, block, first, last): the members whose views are begin..end-1.
  template <class Work>
  void each(int64_t begin, int64_t end, const Work& work) const {
    for (int64_t b = 0; b < count_; ++b) {
      const Block block = at(b);
      const int32_t* const last_member = block.views + members_[static_cast<size_t>(b)];
      const int32_t* const first = std::lower_bound(block.views, last_member, begin);
      const int32_t* const last = std::lower_bound(first, last_member, end);
      if (first != last) work(first_ + b, block, first - block.views, last - block.views);
    }
  }

 private:
  Block at(int64_t b) const {
    const int64_t group = starts_[static_cast<size_t>(b)];
    return {words_.get() + group * kGroupWords, views_.get() + group * kLanes,
            starts_[static_cast<size_t>(b + 1)] - group};
  }

  // The words of a block; beyond the end of the set there are none.
  int64_t words_in(int64_t b) const {
    return std::min(kBlockWords, sets_.words - (first_ + b) * kBlockWords);
  }
  const uint64_t* words_at(int64_t view, int64_t b) const {
    return sets_.bits + view * sets_.words + (first_ + b) * kBlockWords;
  }

  // Bit b of a view's masks: block b has a bit.
  void find_occupied(int64_t view) {
    uint64_t* const masks = occupied_.data() + view * masks_;
    std::fill_n(masks, masks_, 0);
    const int64_t whole = words_in(count_ - 1) == kBlockWords ? count_ : count_ - 1;
    kernels_.occupied(words_at(view, 0), whole, masks);
    for (int64_t w = 0; whole < count_ && w < words_in(whole); ++w)
      if (words_at(view, whole)[w] != 0) masks[whole / 64] |= uint64_t{1} << whole % 64;
  }

  // visit(view, block), views rising.
  template <class Visit>
  void each_occupied(const Visit& visit) const {
    for (int64_t view = 0; view < sets_.views; ++view)
      for (int64_t m = 0; m < masks_; ++m)
        for (uint64_t mask = occupied_[static_cast<size_t>(view * masks_ + m)]; mask != 0; mask &= mask - 1)
          visit(view, static_cast<size_t>(64 * m + __builtin_ctzll(mask)));
  }

  void list_members() {
    std::fill(members_.begin(), members_.end(), 0);
    each_occupied([&](int64_t, size_t b) { ++members_[b]; });
    for (size_t b = 0; b < static_cast<size_t>(count_); ++b)
      starts_[b + 1] = starts_[b] + (members_[b] + kLanes - 1) / kLanes;
    const int64_t groups = starts_[static_cast<size_t>(count_)];
    if (groups > capacity_) {
      words_ = Buffer<uint64_t>(groups * kGroupWords);
      views_ = Buffer<int32_t>(groups * kLanes);
      capacity_ = groups;
    }
    std::fill(members_.begin(), members_.end(), 0);
    each_occupied([&](int64_t view, size_t b) {
      views_[starts_[b] * kLanes + members_[b]++] = static_cast<int32_t>(view);
    });
  }

  void lay_out_block(int64_t b) {
    const int64_t start = starts_[static_cast<size_t>(b)], members = members_[static_cast<size_t>(b)];
    const int64_t room = (starts_[static_cast<size_t>(b + 1)] - start) * kLanes, count = words_in(b);
    uint64_t* const words = words_.get() + start * kGroupWords;
    int32_t* const views = views_.get() + start * kLanes;
    for (int64_t member = 0; member < room; ++member) {
      const uint64_t* const from = member < members ? words_at(views[member], b) : nullptr;
      uint64_t* const to = words + member / kLanes * kGroupWords + member % kLanes;
      for (int64_t w = 0; w < kBlockWords; ++w) to[w * kLanes] = from != nullptr && w < count ? from[w] : 0;
      if (from == nullptr) views[member] = views[members - 1];
    }
  }

  const Bitsets& sets_;
  const Kernels& kernels_;
  int64_t blocks_, step_ = 1, masks_ = 0, first_ = 0, count_ = 0, capacity_ = 0;
  std::vector<uint64_t> occupied_;  // [views, masks]
  std::vector<int64_t> starts_;     // [step + 1], in groups
  std::vector<int64_t> members_;    // [step]: of each block
  Buffer<uint64_t> words_;          // [groups, kBlockWords, kLanes]
  Buffer<int32_t> views_;           // [groups, kLanes]
};

// Rows of the result that a task owns.
int64_t rows_of_task(int64_t views, size_t element, const Parallel& parallel) {
  const int64_t fitting = kRowsBytes / (views * static_cast<int64_t>(element));
  return std::clamp<int64_t>(std::min(fitting, views / (4 * std::max(parallel.threads, 1))), 8, 512);
}

// What lies below the diagonal is what lies above it. Tasks write rows, read columns.
template <class T>
void mirror_rows(T* shared, int64_t views, int64_t begin, int64_t end) {
  constexpr int64_t kTile = 32;
  for (int64_t j = 0; j < end; j += kTile)
    for (int64_t row = begin; row < end; ++row)
      for (int64_t column = j; column < std::min(j + kTile, row); ++column)
        shared[row * views + column] = shared[column * views + row];
}

// compare(block's number, block, first, last): the kernel.
template <class T, class Compare>
void share(const Bitsets& sets, const Kernels& kernels, T* shared, const Parallel& parallel,
           const Compare& compare) {
  const int64_t views = sets.views;
  if (views == 0) return;
  std::fill_n(shared, views * views, T(0));
  const int64_t rows = rows_of_task(views, sizeof(T), parallel), tasks = (views + rows - 1) / rows;
  Slabs slabs(sets, kernels);
  for (int64_t first = 0; first < slabs.blocks(); first += slabs.step()) {
    slabs.lay_out(first, parallel);
    run_tasks(parallel, tasks, [&] {
      return [&](int64_t task) { slabs.each(task * rows, std::min(views, (task + 1) * rows), compare); };
    });
  }
  run_tasks(parallel, tasks, [&] {
    return [&](int64_t task) { mirror_rows(shared, views, task * rows, std::min(views, (task + 1) * rows)); };
  });
}

// Weights in float64, zeros up to the end of the last block.
std::vector<double> widened(const TriangleWeights& weights, int64_t words) {
  std::vector<double> wide(static_cast<size_t>((words + kBlockWords - 1) / kBlockWords * kBlockWords * 64));
  for (int64_t t = 0; t < weights.count; ++t)
    wide[static_cast<size_t>(t)] = weights.scalar == Scalar::kFloat64
                                       ? static_cast<const double*>(weights.data)[t]
                                       : static_cast<double>(static_cast<const float*>(weights.data)[t]);
  return wide;
}

}  // namespace

void shared_triangles(const Bitsets& sets, int32_t* shared, const Parallel& parallel) {
  check_sets("shared_triangles", sets);
  const Kernels kernels = selected_kernels();
  share(sets, kernels, shared, parallel, [&](int64_t, const Block& block, int64_t first, int64_t last) {
    kernels.count_block(block, first, last, shared, sets.views);
  });
}

void shared_weights(const Bitsets& sets, const TriangleWeights& weights, double* shared,
                    const Parallel& parallel) {
  check_sets("shared_triangles", sets);
  check_weights(sets, weights);
  const std::vector<double> wide = widened(weights, sets.words);
  const Kernels kernels = selected_kernels();
  share(
      sets, kernels, shared, parallel, [&](int64_t number, const Block& block, int64_t first, int64_t last) {
        kernels.weigh_block(block, wide.data() + number * kBlockWords * 64, first, last, shared, sets.views);
      });
}

}  // namespace mirror
