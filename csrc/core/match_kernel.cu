// Launches of the match kernel: how many warps share a pair, where its state lies, how large the grid is.
#include "core/match_kernel.cuh"

#include <algorithm>

#include "core/launch_cuda.h"

namespace mirror {
namespace cuda {
namespace {

constexpr int64_t kSharedState =
    48 * 1024 - kFixedSharedBytes;  // larger pairs keep their state in global memory

struct Plan {
  int64_t a_depth, b_depth;
  int warps;
  int64_t scratch_blocks;  // 0: state in shared memory
  int64_t shared;          // bytes
};

int64_t depth_of(const Descriptors& photos, int64_t depth) {
  return depth < 0 ? photos.capacity : std::min(depth, photos.capacity);
}

// Few warps per pair keep the operands of 64 rows busy for long; many warps finish a large pair sooner.
Plan plan_for(const Descriptors& a, const Descriptors& b, int64_t depth, const char* op) {
  Plan plan{};
  plan.a_depth = depth_of(a, depth);
  plan.b_depth = depth_of(b, depth);
  if (std::max(plan.a_depth, plan.b_depth) > kMaxFeatures)
    throw std::invalid_argument(std::string(op) + ": expected at most " + std::to_string(kMaxFeatures) +
                                " features per photo, got " +
                                std::to_string(std::max(plan.a_depth, plan.b_depth)));
  plan.warps = plan.b_depth <= 256 ? 1 : plan.b_depth <= 1024 ? 4 : kMaxWarps;
  const int64_t state = pair_state_bytes(plan.a_depth, plan.b_depth);
  plan.scratch_blocks = state <= kSharedState ? 0 : 2 * multiprocessors(op);
  plan.shared = kFixedSharedBytes + (plan.scratch_blocks == 0 ? state : 0);
  return plan;
}

// Norms of both sides, then the scratch memory of the blocks.
MatchWork carve(const Descriptors& a, const Descriptors& b, const Plan& plan, Pieces& pieces) {
  MatchWork work{};
  work.a_norms = pieces.take<int32_t>(a.images * plan.a_depth);
  work.b_norms = pieces.take<int32_t>(b.images * plan.b_depth);
  work.scratch =
      pieces.take<unsigned char>(plan.scratch_blocks * pair_state_bytes(plan.a_depth, plan.b_depth));
  return work;
}

void launch_norms(const Descriptors& photos, int64_t depth, const int32_t* norms, Stream stream,
                  const char* op) {
  launch(op, stream, squared_norms, {ceil_div(photos.images * depth, 256)}, 256, 0, photos.data, photos.sizes,
         photos.images, photos.capacity, static_cast<int32_t>(depth), const_cast<int32_t*>(norms));
}

// Norms, then `kernel` over all pairs of the work that `fill` completes.
template <class Fill>
void run(const Descriptors& a, const Descriptors& b, int64_t depth, const Workspace& workspace, Stream stream,
         const char* op, void (*kernel)(MatchWork), const Fill& fill) {
  check(cudaGetLastError(), op);
  const Plan plan = plan_for(a, b, depth, op);
  Pieces pieces(workspace, op);
  MatchWork work = carve(a, b, plan, pieces);
  work.a = a.data, work.b = b.data;
  work.a_sizes = a.sizes, work.b_sizes = b.sizes;
  work.a_capacity = a.capacity, work.b_capacity = b.capacity;
  work.a_depth = static_cast<int32_t>(plan.a_depth), work.b_depth = static_cast<int32_t>(plan.b_depth);
  work.b_images = b.images;
  fill(work);
  if (work.count == 0) return;
  launch_norms(a, plan.a_depth, work.a_norms, stream, op);
  launch_norms(b, plan.b_depth, work.b_norms, stream, op);
  int resident = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, 32 * plan.warps,
                                                      static_cast<size_t>(plan.shared)),
        op);
  int64_t blocks =
      std::min<int64_t>(work.count, static_cast<int64_t>(std::max(resident, 1)) * multiprocessors(op));
  if (plan.scratch_blocks > 0) blocks = std::min(blocks, plan.scratch_blocks);
  launch(op, stream, kernel, {blocks}, 32 * plan.warps, plan.shared, work);
}

}  // namespace

size_t match_kernel_workspace(const Descriptors& a, const Descriptors& b, int64_t depth) {
  Pieces pieces;
  carve(a, b, plan_for(a, b, depth, "match_kernel"), pieces);
  return pieces.used();
}

void match_kernel(const Descriptors& a, const Descriptors& b, int64_t depth, float* scores,
                  const Workspace& workspace, Stream stream) {
  run(a, b, depth, workspace, stream, "match_kernel", match_scores, [&](MatchWork& work) {
    work.mode = MatchMode::kAll;
    work.count = a.images * b.images;
    work.scores = scores;
  });
}

void match_kernel_self(const Descriptors& photos, int64_t depth, float* scores, const Workspace& workspace,
                       Stream stream) {
  run(photos, photos, depth, workspace, stream, "match_kernel", match_scores, [&](MatchWork& work) {
    work.mode = MatchMode::kSelf;
    work.count = photos.images * (photos.images + 1) / 2;
    work.scores = scores;
  });
}

void match_kernel_pairs(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                        int64_t depth, float* scores, const Workspace& workspace, Stream stream) {
  run(a, b, depth, workspace, stream, "match_kernel", match_scores, [&](MatchWork& work) {
    work.mode = MatchMode::kPairs;
    work.pairs = pairs;
    work.count = count;
    work.scores = scores;
  });
}

void mutual_matches_offsets(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                            int64_t depth, float max_ratio, int64_t* offsets, const Workspace& workspace,
                            Stream stream) {
  run(a, b, depth, workspace, stream, "mutual_matches", match_lists<false>, [&](MatchWork& work) {
    work.mode = MatchMode::kPairs;
    work.pairs = pairs;
    work.count = count;
    work.max_ratio = max_ratio;
    work.offsets = offsets;
  });
  launch("mutual_matches", stream, counts_to_offsets, {1}, 1024, 1024 * static_cast<int64_t>(sizeof(int64_t)),
         offsets, count);
}

void mutual_matches_fill(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                         int64_t depth, float max_ratio, const int64_t* offsets, int32_t* matches,
                         float* ratios, const Workspace& workspace, Stream stream) {
  run(a, b, depth, workspace, stream, "mutual_matches", match_lists<true>, [&](MatchWork& work) {
    work.mode = MatchMode::kPairs;
    work.pairs = pairs;
    work.count = count;
    work.max_ratio = max_ratio;
    work.offsets = const_cast<int64_t*>(offsets);
    work.matches = matches;
    work.ratios = ratios;
  });
}

}  // namespace cuda
}  // namespace mirror
