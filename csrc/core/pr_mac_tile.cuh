// Scores of 32 query images against 32 target images by one block of 256 threads.
//
// A product of two regions belongs to a pair of images, and a pair of images belongs to one thread, always: rows of a
// tile are 32 query images x a few regions, columns 32 target images x a few regions.
//
//                     target region s       s + 1              With lanes = images and regions = tiles, the maximum over
//                   +-----------------+-----------------+--     target regions and the sum over query regions are plain
//   query region r  | 32 q x 32 t     | 32 q x 32 t     |       elementwise operations on registers. Any number of
//                   +-----------------+-----------------+--     regions fits without padding, and each sum runs in rising
//             r + 1 | ...             |                 |       order of regions.
//
// For a group of query regions all target regions stream by, in chunks of 32 channels, through shared memory (cp.async,
// several stages). Both operands of a product are addressed alike, so `Engine` only says who owns which images and how
// a chunk is multiplied: on the tensor cores (16-bit vectors) or by float32 FMAs, one chain per product over rising
// channels, which gives the CPU's bits.
//
// kSelf: the same products also serve the opposite direction. Its maxima over query regions have to wait until the last
// group, one float4 per target region and thread: `state`, thread-private, in shared or (too many regions) global memory.
#pragma once

#include "core/pr_mac_engines.cuh"

namespace mirror {
namespace cuda {

constexpr int kSuperRows = 8;

// ---- which block does what ------------------------------------------------------------------------------------------

struct TileIndex {
  int64_t query, target;  // in tiles
};

// Blocks are numbered along columns of 8 tiles, so that those which run at the same time share their vectors in L2.
MIRROR_HOST_DEVICE inline TileIndex tile_of(int64_t number, int64_t query_tiles, int64_t target_tiles) {
  const int64_t super = number / (kSuperRows * target_tiles),
                rest = number - super * kSuperRows * target_tiles;
  const int64_t left = query_tiles - super * kSuperRows, rows = left < kSuperRows ? left : kSuperRows;
  return {super * kSuperRows + rest % rows, rest / rows};
}

// Regions in as few steps as `most` allows, of nearly equal size.
struct Steps {
  int32_t count, each;
};
MIRROR_HOST_DEVICE inline Steps steps_of(int32_t regions, int32_t most) {
  const int32_t count = regions == 0 ? 0 : (regions + most - 1) / most;
  return {count, count == 0 ? 0 : (regions + count - 1) / count};
}

template <class Storage>
struct TileWork {
  Side<Storage> query, target;
  Reduction reduction;
  int64_t query_begin, query_end, target_begin, target_end;  // images; the begins are multiples of 32
  float* scores;  // score(q, t) at [(q - query_begin) * stride + t - target_begin]
  int64_t stride;
  float* opposite;  // kSelf: score(t, q) at [(t - target_begin) * opposite_stride + q - query_begin]
  int64_t opposite_stride;
  bool triangle;         // kSelf: both ranges are the same; pairs below the diagonal are served from above it
  int32_t* argmax;       // kArgmax: [query.images, target.images, query.capacity]
  unsigned char* state;  // kSelf: nullptr: in shared memory
  int32_t a_slots;       // chunks of query rows that shared memory holds: all of a group, or one per stage

  MIRROR_HOST_DEVICE int64_t query_tiles() const {
    return (query_end - query_begin + kTileImages - 1) / kTileImages;
  }
  MIRROR_HOST_DEVICE int64_t target_tiles() const {
    return (target_end - target_begin + kTileImages - 1) / kTileImages;
  }
};

MIRROR_HOST_DEVICE inline int64_t state_bytes(int32_t target_capacity) {
  return static_cast<int64_t>(target_capacity) * kTileThreads * static_cast<int64_t>(sizeof(float4));
}

template <class Engine>
MIRROR_HOST_DEVICE inline int64_t tile_shared_bytes(int32_t a_slots) {
  return static_cast<int64_t>(kTileImages * Engine::kRowBytes) *
         (static_cast<int64_t>(a_slots) * kRowRegions + Engine::kStages * Engine::kColumnRegions);
}

// ---- the pipeline ---------------------------------------------------------------------------------------------------

// Counts through groups of query regions, steps of target regions, chunks of channels.
struct Cursor {
  int32_t group = 0, step = 0, chunk = 0;
  int32_t a_slot = 0, b_slot = 0;

  MIRROR_HOST_DEVICE void advance(int32_t steps, int32_t chunks, int32_t a_slots, int32_t b_slots) {
    a_slot = a_slot + 1 == a_slots ? 0 : a_slot + 1;
    b_slot = b_slot + 1 == b_slots ? 0 : b_slot + 1;
    if (++chunk < chunks) return;
    chunk = 0;
    if (++step < steps) return;
    step = 0;
    ++group;
  }
};

// Starts copying one chunk of `regions` regions, from region `first`, of the 32 images from `image`.
template <class Engine, class Storage>
__device__ inline void copy_chunk(const Side<Storage>& side, int64_t image, int32_t first, int32_t regions,
                                  int32_t chunk, unsigned char* to) {
  constexpr int kUnits = kChunk * static_cast<int>(sizeof(Storage)) / 16;
#pragma unroll 1
  for (int u = threadIdx.x; u < regions * kTileImages * kUnits; u += kTileThreads) {
    const int row = u / kUnits, unit = u % kUnits, region = first + row / kTileImages;
    const int64_t from = image + row % kTileImages;
    const bool valid = from < side.images && region < side.capacity;
    const unsigned char* address = reinterpret_cast<const unsigned char*>(side.rows);
    if (valid)
      address = reinterpret_cast<const unsigned char*>(side.row(from, region) + chunk * kChunk) + 16 * unit;
    copy_async(to + Engine::place(row, unit), address, valid);
  }
}

// ---- the reductions of one thread: 2 queries x 2 targets, numbered x = 2 h + e -----------------------------------------

template <class Storage>
__device__ inline float bias_of(const Side<Storage>& side, int64_t image, int32_t region) {
  return image < side.images && region < side.capacity ? __ldg(side.bias + image * side.capacity + region)
                                                       : INFINITY;
}

template <class Engine, bool kSelf, bool kArgmax>
struct TileThread {
  using Storage = typename Engine::Storage;
  static constexpr int kMi = kRowRegions, kNj = Engine::kColumnRegions;
  using Products = float[kMi][kNj][4];

  const TileWork<Storage>& work;
  int32_t first_query, first_target;
  float4* state;
  float sums[4];
  float best[kMi][4];  // of the group's regions
  int32_t index[kArgmax ? kMi : 1][4];

  __device__ TileThread(const TileWork<Storage>& tile_work, int32_t query, int32_t target, float4* own_state)
      : work(tile_work), first_query(query), first_target(target), state(own_state) {
#pragma unroll
    for (int x = 0; x < 4; ++x) sums[x] = fold_start(work.reduction);
  }

  // Images of this thread, from its number: cheaper than registers.
  __device__ int32_t query(int h) const { return first_query + Engine::query_slot(h); }
  __device__ int32_t target(int e) const { return first_target + Engine::target_slot(e); }

  __device__ void begin_group() {
#pragma unroll
    for (int i = 0; i < kMi; ++i)
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        best[i][x] = -INFINITY;
        if (kArgmax) index[kArgmax ? i : 0][x] = 0;
      }
  }

  // Products of mi query regions from `row` with nj target regions from `column`.
  __device__ void take(const Products& acc, int32_t row, int mi, int32_t column, int nj) {
    float row_bias[kSelf ? kMi : 1][2];
    if (kSelf) {
#pragma unroll
      for (int i = 0; i < kMi; ++i)
#pragma unroll
        for (int h = 0; h < 2; ++h)
          row_bias[kSelf ? i : 0][h] = i < mi ? bias_of(work.query, query(h), row + i) : INFINITY;
    }
#pragma unroll
    for (int j = 0; j < kNj; ++j) {
      if (j >= nj) break;
      const float bias[2] = {bias_of(work.target, target(0), column + j),
                             bias_of(work.target, target(1), column + j)};
      float column_best[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
#pragma unroll
      for (int i = 0; i < kMi; ++i)
#pragma unroll
        for (int x = 0; x < 4; ++x) {
          const float value = acc[i][j][x] - bias[x & 1];
          if (kArgmax && value > best[i][x]) index[kArgmax ? i : 0][x] = column + j;
          best[i][x] = fmaxf(best[i][x], value);
          if (kSelf) column_best[x] = fmaxf(column_best[x], acc[i][j][x] - row_bias[kSelf ? i : 0][x >> 1]);
        }
      if (kSelf) hold(column + j, row > 0, column_best);
    }
  }

  // The opposite direction: maxima over query regions, of one target region.
  __device__ void hold(int32_t region, bool merge, const float (&value)[4]) {
    float4* const at = state + static_cast<int64_t>(region) * kTileThreads;
    float4 held = make_float4(value[0], value[1], value[2], value[3]);
    if (merge) {
      const float4 before = *at;
      held = make_float4(fmaxf(held.x, before.x), fmaxf(held.y, before.y), fmaxf(held.z, before.z),
                         fmaxf(held.w, before.w));
    }
    *at = held;
  }

  __device__ bool wanted(int x) const {
    return query(x >> 1) < work.query_end && target(x & 1) < work.target_end;
  }

  // The maxima of the group's regions are complete.
  __device__ void end_group(int32_t row, int mi) {
#pragma unroll
    for (int i = 0; i < kMi; ++i) {
      if (i >= mi) break;
#pragma unroll
      for (int x = 0; x < 4; ++x) {
        if (!wanted(x)) continue;
        const int64_t q = query(x >> 1), t = target(x & 1);
        const bool exists = row + i < work.query.size(q);
        RegionValue found = {best[i][x], kArgmax ? index[kArgmax ? i : 0][x] : 0};
        if (exists) {
          found = region_value(work.reduction, work.query, q, row + i, work.target, t, found);
          sums[x] = fold_add(work.reduction, sums[x], found.value);
        }
        if (kArgmax)
          work.argmax[(q * work.target.images + t) * work.query.capacity + row + i] =
              exists && work.target.size(t) > 0 ? found.region : -1;
      }
    }
  }

  __device__ void store() const {
#pragma unroll
    for (int x = 0; x < 4; ++x)
      if (wanted(x))
        work.scores[(query(x >> 1) - work.query_begin) * work.stride + target(x & 1) - work.target_begin] =
            fold_finish(work.reduction, sums[x], work.query.size(query(x >> 1)));
  }

  __device__ void store_opposite() const {
#pragma unroll
    for (int x = 0; x < 4; ++x) {
      if (!wanted(x)) continue;
      const int64_t q = query(x >> 1), t = target(x & 1);
      float sum = fold_start(work.reduction);
      for (int32_t r = 0; r < work.target.size(t); ++r) {
        const float4 held = state[static_cast<int64_t>(r) * kTileThreads];
        const float value = x == 0 ? held.x : x == 1 ? held.y : x == 2 ? held.z : held.w;
        sum = fold_add(work.reduction, sum,
                       region_value(work.reduction, work.target, t, r, work.query, q, {value, 0}).value);
      }
      work.opposite[(t - work.target_begin) * work.opposite_stride + q - work.query_begin] =
          fold_finish(work.reduction, sum, work.target.size(t));
    }
  }
};

// ---- the kernel -----------------------------------------------------------------------------------------------------

template <class Engine, bool kSelf, bool kArgmax>
__device__ inline void run_tile(const TileWork<typename Engine::Storage>& work, const TileIndex& tile) {
  constexpr int kMi = kRowRegions, kNj = Engine::kColumnRegions;
  constexpr int kRegionBytes = kTileImages * Engine::kRowBytes;
  const int32_t first_query = static_cast<int32_t>(work.query_begin + tile.query * kTileImages);
  const int32_t first_target = static_cast<int32_t>(work.target_begin + tile.target * kTileImages);
  const Steps groups = steps_of(work.query.capacity, kMi), steps = steps_of(work.target.capacity, kNj);
  const int32_t chunks = work.query.channels / kChunk;
  const int32_t turns = groups.count * steps.count * chunks;

  unsigned char* const a = shared_memory();
  unsigned char* const b = a + work.a_slots * kMi * kRegionBytes;
  unsigned char* state = b + Engine::kStages * kNj * kRegionBytes;
  if (kSelf && work.state != nullptr) state = work.state + blockIdx.x * state_bytes(work.target.capacity);
  TileThread<Engine, kSelf, kArgmax> thread(work, first_query, first_target,
                                            reinterpret_cast<float4*>(state) + threadIdx.x);

  // Query rows are copied again for every step only where shared memory does not keep a whole group. Where it does, the
  // next group's chunk takes the place of this group's once nobody reads that any more, because chunks >= kStages.
  const bool resident = work.a_slots == chunks && chunks >= Engine::kStages;
  Cursor load, now;
  auto issue = [&] {
    if (load.group < groups.count && steps.count > 0) {
      if (!resident || load.step == 0)
        copy_chunk<Engine>(work.query, first_query, load.group * groups.each, groups.each, load.chunk,
                           a + load.a_slot * kMi * kRegionBytes);
      copy_chunk<Engine>(work.target, first_target, load.step * steps.each, steps.each, load.chunk,
                         b + load.b_slot * kNj * kRegionBytes);
      load.advance(steps.count, chunks, work.a_slots, Engine::kStages);
    }
    copy_async_commit();
  };
  for (int s = 0; s < Engine::kStages - 1; ++s) issue();

  float acc[kMi][kNj][4];
  for (int32_t turn = 0; turn < turns; ++turn) {
    const int32_t row = now.group * groups.each, column = now.step * steps.each;
    const int mi = work.query.capacity - row < groups.each ? work.query.capacity - row : groups.each;
    const int nj = work.target.capacity - column < steps.each ? work.target.capacity - column : steps.each;
    if (now.step == 0 && now.chunk == 0) thread.begin_group();
    if (now.chunk == 0) {
#pragma unroll
      for (int i = 0; i < kMi; ++i)
#pragma unroll
        for (int j = 0; j < kNj; ++j)
#pragma unroll
          for (int x = 0; x < 4; ++x) acc[i][j][x] = 0.0f;
    }
    copy_async_wait<Engine::kStages - 2>();
    __syncthreads();  // this chunk has arrived for all; all have left the chunk whose place is filled next
    issue();
    const unsigned char* const rows = a + now.a_slot * kMi * kRegionBytes;
    const unsigned char* const columns = b + now.b_slot * kNj * kRegionBytes;
    if (mi == kMi && nj == kNj)
      Engine::template multiply<true>(rows, columns, mi, nj, acc);
    else
      Engine::template multiply<false>(rows, columns, mi, nj, acc);
    if (now.chunk == chunks - 1) {
      thread.take(acc, row, mi, column, nj);
      if (now.step == steps.count - 1) thread.end_group(row, mi);
    }
    now.advance(steps.count, chunks, work.a_slots, Engine::kStages);
  }
  if (steps.count == 0) {  // targets without a single region: nothing to multiply, but scores all the same
    thread.begin_group();
    for (int32_t row = 0; row < work.query.capacity; ++row) thread.end_group(row, 1);
  }
  thread.store();
  if (kSelf && !(work.triangle && tile.query == tile.target)) thread.store_opposite();
}

// Block = tiles blockIdx.x, blockIdx.x + gridDim.x, ... One block fills a multiprocessor with its registers.
template <class Engine, bool kSelf, bool kArgmax>
__global__ void __launch_bounds__(kTileThreads, 1) pr_mac_tiles(TileWork<typename Engine::Storage> work) {
  const int64_t query_tiles = work.query_tiles(), target_tiles = work.target_tiles();
  for (int64_t number = blockIdx.x; number < query_tiles * target_tiles; number += gridDim.x) {
    const TileIndex tile = tile_of(number, query_tiles, target_tiles);
    if (kSelf && work.triangle && tile.query > tile.target) continue;
    run_tile<Engine, kSelf, kArgmax>(work, tile);
    __syncthreads();  // before the next tile fills shared memory
  }
}

}  // namespace cuda
}  // namespace mirror
