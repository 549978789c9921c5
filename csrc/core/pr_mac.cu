// pr_mac, pr_mac_topk and pr_mac_rerank on CUDA: which kernels run, over which strips, in which memory.
#include <algorithm>

#include "core/pr_mac_launch.h"
#include "core/pr_mac_rerank.cuh"
#include "core/pr_mac_sides.h"
#include "core/pr_mac_topk.cuh"

namespace mirror {
namespace cuda {
namespace {

void check_regions(const char* op, const Regions& query, const Regions& target) {
  if (query.scalar == Scalar::kFloat64 || target.scalar == Scalar::kFloat64)
    throw std::invalid_argument(std::string(op) +
                                ": query: expected float32, float16 or bfloat16 on CUDA, got float64");
  if (query.scalar != target.scalar || query.channels != target.channels)
    throw std::invalid_argument(std::string(op) + ": target: expected the type and the channels of query");
  if (std::max(query.images, target.images) > INT32_MAX - kTileImages)
    throw std::invalid_argument(std::string(op) + ": expected fewer than 2^31 - 32 images");
}

// The type that products are made of.
Scalar engine_scalar(const Regions& regions, Precision precision, bool with_argmax) {
  if (with_argmax) return Scalar::kFloat32;
  return precision == Precision::kBf16 && regions.scalar == Scalar::kFloat32 ? Scalar::kBFloat16
                                                                             : regions.scalar;
}

// Calls f(Storage()) with that type.
template <class Function>
void with_storage(Scalar scalar, const Function& f) {
  if (scalar == Scalar::kBFloat16)
    f(BFloat16());
  else if (scalar == Scalar::kFloat16)
    f(Float16());
  else
    f(float());
}

template <class Storage>
struct Sides {
  Side<Storage> query, target;
};

template <class Storage>
Sides<Storage> place_sides(const Regions& query, const Regions& target, Pieces& pieces) {
  const Side<Storage> placed = place_side<Storage>(query, pieces);
  return {placed, place_side<Storage>(target, pieces)};
}
template <class Storage>
void fill_sides(const Regions& query, const Regions& target, const Sides<Storage>& sides, Reduction reduction,
                Stream stream, const char* op) {
  fill_side(query, sides.query, reduction, stream, op);
  fill_side(target, sides.target, reduction, stream, op);
}

unsigned char* place_state(const Regions& target, Pieces& pieces, const char* op) {
  return pieces.take<unsigned char>(multiprocessors(op) * state_bytes(static_cast<int32_t>(target.capacity)));
}

// ---- all pairs ------------------------------------------------------------------------------------------------------

void all_pairs(const Regions& query, const Regions& target, bool self, Reduction reduction,
               Precision precision, float* scores, int32_t* argmax, const Workspace& workspace,
               Stream stream) {
  constexpr const char* op = "pr_mac";
  check_regions(op, query, target);
  check(cudaGetLastError(), op);
  if (argmax != nullptr)
    self = false;  // as on the CPU: indices are kept in one direction only, the bits are the same
  with_storage(engine_scalar(query, precision, argmax != nullptr), [&](auto storage) {
    using Storage = decltype(storage);
    Pieces pieces(workspace, op);
    Sides<Storage> sides{place_side<Storage>(query, pieces), {}};
    sides.target = self ? sides.query : place_side<Storage>(target, pieces);
    unsigned char* const state = self ? place_state(target, pieces, op) : nullptr;
    fill_side(query, sides.query, reduction, stream, op);
    if (!self) fill_side(target, sides.target, reduction, stream, op);
    TileWork<Storage> work{};
    work.query = sides.query, work.target = sides.target;
    work.reduction = reduction;
    work.query_end = query.images, work.target_end = target.images;
    work.scores = work.opposite = scores;
    work.stride = work.opposite_stride = target.images;
    work.triangle = true;
    work.argmax = argmax;
    launch_tiles(work, self, state, stream, op);
  });
}

// ---- top-k ----------------------------------------------------------------------------------------------------------

// Scores live in one strip of at most so many images squared (two for the self-join: one per direction), which is merged
// into the running lists before the next one overwrites it.
#if !defined(MIRROR_CUDA_STRIP)
#define MIRROR_CUDA_STRIP 2048  // tests take less
#endif
constexpr int64_t kStrip = MIRROR_CUDA_STRIP;

struct ListMemory {
  float* strip;     // [kStrip, kStrip]
  float* opposite;  // the same, self-join only
  uint64_t* lists;  // [queries, k]
};

int64_t strip_images(int64_t images) { return std::min(kStrip, ceil_div(images, kTileImages) * kTileImages); }

ListMemory place_lists(const Regions& query, const Regions& target, int64_t k, Pieces& pieces) {
  const int64_t strip = strip_images(query.images) * strip_images(target.images);
  ListMemory memory{};
  memory.strip = pieces.take<float>(strip);
  memory.opposite = pieces.take<float>(strip);
  memory.lists = pieces.take<uint64_t>(query.images * k);
  return memory;
}

void launch_merge(ListWork work, int64_t queries, Stream stream, const char* op) {
  const int64_t shared = list_shared_bytes(work.k);
  allow_shared(merge_lists, shared, op);
  launch(op, stream, merge_lists, {queries}, kListThreads, shared, work);
}

void clear_lists(uint64_t* lists, int64_t count, Stream stream, const char* op) {
  check(cudaMemsetAsync(lists, 0, static_cast<size_t>(count) * sizeof(uint64_t), stream), op);
}

void launch_read(const uint64_t* lists, int64_t count, Reduction reduction, float* values, int64_t* indices,
                 Stream stream, const char* op) {
  launch(op, stream, read_lists, {ceil_div(count, 256)}, 256, 0, lists, count, higher_is_closer(reduction),
         values, indices);
}

// Strip by strip into the lists. Self-join: strips on and above the diagonal, each serving both directions.
template <class Storage>
void fill_lists(TileWork<Storage> work, bool self, int64_t k, const ListMemory& memory, unsigned char* state,
                Stream stream, const char* op) {
  const int64_t queries = work.query.images, targets = work.target.images;
  clear_lists(memory.lists, queries * k, stream, op);
  work.scores = memory.strip;
  for (int64_t q = 0; q < queries; q += kStrip)
    for (int64_t t = self ? q : 0; t < targets; t += kStrip) {
      work.query_begin = q, work.query_end = std::min(queries, q + kStrip);
      work.target_begin = t, work.target_end = std::min(targets, t + kStrip);
      const int64_t rows = work.query_end - q, columns = work.target_end - t;
      work.stride = columns;
      work.triangle = self && q == t;
      work.opposite = work.triangle ? memory.strip : memory.opposite;
      work.opposite_stride = rows;
      launch_tiles(work, self, state, stream, op);
      ListWork merge{memory.strip,
                     columns,
                     columns,
                     nullptr,
                     t,
                     higher_is_closer(work.reduction),
                     static_cast<int32_t>(k),
                     memory.lists + q * k};
      launch_merge(merge, rows, stream, op);
      if (!self || q == t) continue;
      merge = {memory.opposite,
               rows,
               rows,
               nullptr,
               q,
               higher_is_closer(work.reduction),
               static_cast<int32_t>(k),
               memory.lists + t * k};
      launch_merge(merge, columns, stream, op);
    }
}

// ---- candidates -----------------------------------------------------------------------------------------------------

void launch_rerank(const RerankWork& work, Stream stream, const char* op) {
  const int64_t blocks = work.query.images * ceil_div(work.count, kRerankWarps);
  const bool small = std::max(work.query.capacity, work.target.capacity) <= 8;
  const int shared = small ? rerank_shared_bytes<1, 2>() : rerank_shared_bytes<5, 9>();
  const auto kernel = small ? rerank_candidates<1, 2> : rerank_candidates<5, 9>;
  allow_shared(kernel, shared, op);
  launch(op, stream, kernel, {blocks}, 32 * kRerankWarps, shared, work);
}

// ---- top-k, whole ---------------------------------------------------------------------------------------------------

bool two_passes(const TopKOptions& options) {
  return options.precision == Precision::kBf16 && !options.certified;
}

int64_t kept_by_first_pass(const Regions& target, const TopKOptions& options) {
  return two_passes(options) ? std::min(options.k + options.margin, std::max<int64_t>(target.images, 1))
                             : options.k;
}

Scalar first_scalar(const Regions& query, const TopKOptions& options) {
  return engine_scalar(query, two_passes(options) ? Precision::kBf16 : Precision::kExact, false);
}

// The second pass: what the first kept, scored in float32, and its k best.
struct SecondPass {
  Sides<float> sides;
  float* scores;        // [queries, kept]
  int64_t* candidates;  // [queries, kept]
  uint64_t* lists;      // [queries, k]
};

SecondPass place_second(const Regions& query, const Regions& target, int64_t kept, int64_t k,
                        Pieces& pieces) {
  SecondPass second{place_sides<float>(query, target, pieces), nullptr, nullptr, nullptr};
  second.scores = pieces.take<float>(query.images * kept);
  second.candidates = pieces.take<int64_t>(query.images * kept);
  second.lists = pieces.take<uint64_t>(query.images * k);
  return second;
}

void score_again(const Regions& query, const Regions& target, Reduction reduction, const uint64_t* first,
                 int64_t kept, int64_t k, const SecondPass& second, Stream stream, const char* op) {
  launch_read(first, query.images * kept, reduction, second.scores, second.candidates, stream, op);
  fill_sides(query, target, second.sides, reduction, stream, op);
  launch_rerank({second.sides.query, second.sides.target, second.candidates, kept, reduction, second.scores},
                stream, op);
  clear_lists(second.lists, query.images * k, stream, op);
  launch_merge({second.scores, kept, kept, second.candidates, 0, higher_is_closer(reduction),
                static_cast<int32_t>(k), second.lists},
               query.images, stream, op);
}

void top_k(const Regions& query, const Regions& target, bool self, Reduction reduction,
           const TopKOptions& options, float* values, int64_t* indices, const Workspace& workspace,
           Stream stream) {
  constexpr const char* op = "pr_mac_topk";
  check_regions(op, query, target);
  check(cudaGetLastError(), op);
  if (options.k < 0 || options.margin < 0)
    throw std::invalid_argument(std::string(op) + ": k, margin: expected at least 0, got " +
                                std::to_string(options.k) + " and " + std::to_string(options.margin));
  const int64_t kept = kept_by_first_pass(target, options), k = options.k;
  if (std::max(kept, k) > kMaxTopK)
    throw std::invalid_argument(std::string(op) + ": k: expected at most " + std::to_string(kMaxTopK) +
                                " on CUDA (with the margin), got " + std::to_string(std::max(kept, k)));
  if (query.images == 0 || k == 0) return;
  with_storage(first_scalar(query, options), [&](auto storage) {
    using Storage = decltype(storage);
    Pieces pieces(workspace, op);
    const Sides<Storage> sides = place_sides<Storage>(query, target, pieces);
    const ListMemory memory = place_lists(query, target, kept, pieces);
    unsigned char* const state = place_state(target, pieces, op);
    fill_sides(query, target, sides, reduction, stream, op);
    TileWork<Storage> work{};
    work.query = sides.query, work.target = sides.target;
    work.reduction = reduction;
    fill_lists(work, self, kept, memory, state, stream, op);
    const uint64_t* lists = memory.lists;
    if (two_passes(options)) {
      const SecondPass second = place_second(query, target, kept, k, pieces);
      score_again(query, target, reduction, memory.lists, kept, k, second, stream, op);
      lists = second.lists;
    }
    launch_read(lists, query.images * k, reduction, values, indices, stream, op);
  });
}

}  // namespace

size_t pr_mac_workspace(const Regions& query, const Regions& target, Precision precision, bool with_argmax) {
  Pieces pieces;
  with_storage(engine_scalar(query, precision, with_argmax), [&](auto storage) {
    place_sides<decltype(storage)>(query, target, pieces);
    place_state(target, pieces, "pr_mac");
  });
  return pieces.used();
}

void pr_mac(const Regions& query, const Regions& target, Reduction reduction, Precision precision,
            float* scores, int32_t* argmax, const Workspace& workspace, Stream stream) {
  all_pairs(query, target, false, reduction, precision, scores, argmax, workspace, stream);
}

void pr_mac_self(const Regions& images, Reduction reduction, Precision precision, float* scores,
                 int32_t* argmax, const Workspace& workspace, Stream stream) {
  all_pairs(images, images, true, reduction, precision, scores, argmax, workspace, stream);
}

size_t pr_mac_topk_workspace(const Regions& query, const Regions& target, const TopKOptions& options) {
  Pieces pieces;
  const int64_t kept = kept_by_first_pass(target, options);
  with_storage(first_scalar(query, options), [&](auto storage) {
    place_sides<decltype(storage)>(query, target, pieces);
    place_lists(query, target, kept, pieces);
    place_state(target, pieces, "pr_mac_topk");
    if (two_passes(options)) place_second(query, target, kept, options.k, pieces);
  });
  return pieces.used();
}

void pr_mac_topk(const Regions& query, const Regions& target, Reduction reduction, const TopKOptions& options,
                 float* values, int64_t* indices, const Workspace& workspace, Stream stream) {
  top_k(query, target, false, reduction, options, values, indices, workspace, stream);
}

void pr_mac_topk_self(const Regions& images, Reduction reduction, const TopKOptions& options, float* values,
                      int64_t* indices, const Workspace& workspace, Stream stream) {
  top_k(images, images, true, reduction, options, values, indices, workspace, stream);
}

size_t pr_mac_rerank_workspace(const Regions& query, const Regions& target) {
  Pieces pieces;
  place_sides<float>(query, target, pieces);
  return pieces.used();
}

void pr_mac_rerank(const Regions& query, const Regions& target, const int64_t* candidates, int64_t count,
                   Reduction reduction, float* scores, const Workspace& workspace, Stream stream) {
  constexpr const char* op = "pr_mac_rerank";
  check_regions(op, query, target);
  check(cudaGetLastError(), op);
  Pieces pieces(workspace, op);
  const Sides<float> sides = place_sides<float>(query, target, pieces);
  fill_sides(query, target, sides, reduction, stream, op);
  launch_rerank({sides.query, sides.target, candidates, count, reduction, scores}, stream, op);
}

}  // namespace cuda
}  // namespace mirror
