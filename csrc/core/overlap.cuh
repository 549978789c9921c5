// Visible and shared triangles on CUDA. Everything is a sum of integers, so that threads may meet in any order; sums of weights
// follow the CPU's order.
//   visible  thread = pixel
//   shared   block = 128 x 128 views and a stretch of words; bits stream through shared memory, tensor cores AND and count
//   weights  block = 16 x 16 views, eight lanes = a pair's eight sums
//   masks    warp = a cell of one photo's grid, lanes = the pixels it meets
#pragma once

#include <cmath>

#include "core/device.cuh"
#include "core/host_device.h"
#include "core/overlap_sets.h"
#include "mirror/overlap.h"

namespace mirror {
namespace cuda {

constexpr int kOverlapWarps = 8;
constexpr int kOverlapThreads = 32 * kOverlapWarps;

// ---- sets ------------------------------------------------------------------------------------------------------------

// thread = pixel; view = blockIdx.y. The pixel's triangle, or -1.
__device__ inline int64_t triangle_of_thread(const SetWork& work) {
  const int64_t pixel = static_cast<int64_t>(blockIdx.x) * kOverlapThreads + threadIdx.x;
  if (pixel >= work.pixels) return -1;
  const int64_t id = work.ids[(blockIdx.y * work.pixels + pixel) * work.step];
  return id < work.faces ? id : -1;
}

static __global__ void __launch_bounds__(kOverlapThreads) mark_pixels(SetWork work) {
  const int64_t id = triangle_of_thread(work);
  if (id < 0) return;
  uint64_t* const word = work.bitsets + blockIdx.y * work.words + id / 64;
  const uint64_t bit = uint64_t{1} << (id % 64);
  if ((*word & bit) == 0) atomic_or(word, bit);  // a stale word costs an atomic, no more
}

static __global__ void __launch_bounds__(kOverlapThreads) count_pixels(SetWork work) {
  const int64_t id = triangle_of_thread(work);
  if (id >= 0) atomicAdd(work.owned + blockIdx.y * work.faces + id, 1u);
}

// warp = word: lanes look at its 64 triangles, 32 at a time.
static __global__ void __launch_bounds__(kOverlapThreads) keep_triangles(SetWork work) {
  const int64_t word = static_cast<int64_t>(blockIdx.x) * kOverlapWarps + threadIdx.x / 32, view = blockIdx.y;
  if (word >= work.words) return;
  uint64_t bits = 0;
  for (int half = 0; half < 2; ++half) {
    const int64_t face = 64 * word + 32 * half + threadIdx.x % 32;
    const bool kept = face < work.faces && work.owned[view * work.faces + face] >= work.min_pixels;
    bits |= static_cast<uint64_t>(__ballot_sync(0xffffffffu, kept)) << (32 * half);
  }
  if (threadIdx.x % 32 == 0) work.bitsets[view * work.words + word] = bits;
}

// block = 16 words of each of its threads; view = blockIdx.y
constexpr int kWordsCounted = 16 * kOverlapThreads;
static __global__ void __launch_bounds__(kOverlapThreads) count_triangles(SetWork work) {
  const int64_t view = blockIdx.y, begin = static_cast<int64_t>(blockIdx.x) * kWordsCounted;
  const int64_t end = begin + kWordsCounted < work.words ? begin + kWordsCounted : work.words;
  int count = 0;
  for (int64_t word = begin + threadIdx.x; word < end; word += kOverlapThreads)
    count += __popcll(work.bitsets[view * work.words + word]);
  for (int lanes = 16; lanes > 0; lanes >>= 1) count += __shfl_xor_sync(0xffffffffu, count, lanes);
  if (threadIdx.x % 32 == 0 && count > 0)
    atomic_add(reinterpret_cast<uint64_t*>(work.counts + view), static_cast<uint64_t>(count));
}

// ---- shared triangles ------------------------------------------------------------------------------------------------

// A tile's rows are views; 128 bytes of each lie in shared memory at a time, 16 bytes apart from the next row's banks, so that
// load_matrices meets no bank twice.
constexpr int kShareTile = 128;
constexpr int kShareBytes = 128;
constexpr int kShareRow = kShareBytes + 16;
constexpr int kShareSide = kShareTile * kShareRow;  // bytes of one side of a stage
constexpr int kShareStages = 2;
constexpr int kShareShared = kShareStages * 2 * kShareSide;

struct ShareWork {
  const uint64_t* bitsets;  // [views, words]
  int64_t views, words;
  int64_t chunks;   // of 128 bytes, of each block
  int32_t* counts;  // [views, views], zeros
};

// Pair number i of (0, 0), (0, 1), (1, 1), (0, 2), ...
struct TilePair {
  int64_t row, column;
};
MIRROR_HOST_DEVICE inline TilePair tile_pair(int64_t i) {
  int64_t column = static_cast<int64_t>((sqrt(8.0 * static_cast<double>(i) + 1) - 1) / 2);
  while (column * (column + 1) / 2 > i) --column;
  while ((column + 1) * (column + 2) / 2 <= i) ++column;
  return {i - column * (column + 1) / 2, column};
}

// 16 words of the tile's 128 views, from word `word` on: thread = word % 16 of every 16th view.
__device__ inline void fetch_bits(const ShareWork& work, int64_t tile, int64_t word, unsigned char* side) {
  const int64_t column = threadIdx.x % 16;
  for (int row = static_cast<int>(threadIdx.x) / 16; row < kShareTile; row += kOverlapThreads / 16) {
    const int64_t view = tile * kShareTile + row;
    const bool valid = view < work.views && word + column < work.words;
    const int64_t at = valid ? view * work.words + word + column : 0;
    copy_async_8(side + row * kShareRow + 8 * column, work.bitsets + at, valid);
  }
}

// warp = 64 x 32 views of the tile
__device__ inline void count_bits(const unsigned char* a_side, const unsigned char* b_side,
                                  int32_t (&sums)[4][4][4]) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  // Matrices 0..3 of A: rows 0..7 and 8..15, bytes 0..15; the same rows, bytes 16..31. Of B: 8 columns, two halves; 8 more.
  const unsigned char* const a_row = a_side + (64 * (warp % 2) + lane % 16) * kShareRow + 16 * (lane / 16);
  const unsigned char* const b_row =
      b_side + (32 * (warp / 2) + 8 * (lane / 16) + lane % 8) * kShareRow + 16 * (lane / 8 % 2);
#pragma unroll
  for (int byte = 0; byte < kShareBytes; byte += 32) {
    uint32_t a[4][4], b[2][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) load_matrices(a_row + 16 * i * kShareRow + byte, a[i]);
#pragma unroll
    for (int j = 0; j < 2; ++j) load_matrices(b_row + 16 * j * kShareRow + byte, b[j]);
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        mma_bits(sums[i][j], a[i], b[j / 2][2 * (j % 2)], b[j / 2][2 * (j % 2) + 1]);
  }
}

// Adds the block's sums; off the diagonal to both (i, j) and (j, i).
__device__ inline void add_sums(const ShareWork& work, const TilePair& tile, const int32_t (&sums)[4][4][4]) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t row = tile.row * kShareTile + 64 * (warp % 2) + 16 * i + lane / 4 + 8 * (e / 2);
        const int64_t column = tile.column * kShareTile + 32 * (warp / 2) + 8 * j + 2 * (lane % 4) + e % 2;
        if (row >= work.views || column >= work.views || sums[i][j][e] == 0) continue;
        atomicAdd(work.counts + row * work.views + column, sums[i][j][e]);
        if (tile.row != tile.column) atomicAdd(work.counts + column * work.views + row, sums[i][j][e]);
      }
}

// blockIdx.x = pair of tiles, blockIdx.y = stretch of chunks
static __global__ void __launch_bounds__(kOverlapThreads, 2) share_triangles(ShareWork work) {
  unsigned char* const stages = shared_memory();
  const TilePair tile = tile_pair(blockIdx.x);
  const int64_t first = blockIdx.y * work.chunks, all = (work.words + 15) / 16;
  const int64_t end = first + work.chunks < all ? first + work.chunks : all;
  const auto fetch = [&](int64_t chunk) {
    unsigned char* const stage = stages + chunk % kShareStages * 2 * kShareSide;
    if (chunk < end) {
      fetch_bits(work, tile.row, 16 * chunk, stage);
      fetch_bits(work, tile.column, 16 * chunk, stage + kShareSide);
    }
    copy_async_commit();
  };
  int32_t sums[4][4][4] = {};
  fetch(first);
  for (int64_t chunk = first; chunk < end; ++chunk) {
    fetch(chunk + 1);
    copy_async_wait<1>();
    __syncthreads();
    const unsigned char* const stage = stages + chunk % kShareStages * 2 * kShareSide;
    count_bits(stage, stage + kShareSide, sums);
    __syncthreads();
  }
  copy_async_wait<0>();
  add_sums(work, tile, sums);
}

// ---- shared weights --------------------------------------------------------------------------------------------------

// The order of overlap.h: blocks of 512 triangles, in each eight sums, lane k of eight takes every eighth triangle from k on.
constexpr int kWeighTile = 16;                                                // views a side
constexpr int kWeighWords = 8;                                                // of a block of triangles
constexpr int kWeighPairs = kWeighTile * kWeighTile / (kOverlapThreads / 8);  // of each eight lanes
struct WeighStage {
  double weights[64 * kWeighWords];
  uint64_t rows[kWeighTile][kWeighWords], columns[kWeighTile][kWeighWords];
};

struct WeighWork {
  const uint64_t* bitsets;  // [views, words]
  int64_t views, words;
  const void* weights;  // [count]
  int64_t count;
  bool wide;       // float64
  double* shared;  // [views, views]
};

__device__ inline double weight_of(const WeighWork& work, int64_t face) {
  if (face >= work.count) return 0;
  return work.wide ? static_cast<const double*>(work.weights)[face]
                   : static_cast<double>(static_cast<const float*>(work.weights)[face]);
}

// The block's words of 2 x 16 views, a word each thread, and its weights.
__device__ inline void fetch_weights(const WeighWork& work, const TilePair& tile, int64_t first,
                                     WeighStage& stage) {
  for (int i = static_cast<int>(threadIdx.x); i < 64 * kWeighWords; i += kOverlapThreads)
    stage.weights[i] = weight_of(work, 64 * first + i);
  const int side = static_cast<int>(threadIdx.x) / 128, row = static_cast<int>(threadIdx.x) / 8 % kWeighTile;
  const int word = static_cast<int>(threadIdx.x) % 8;
  const int64_t view = (side == 0 ? tile.row : tile.column) * kWeighTile + row;
  const bool valid = view < work.views && first + word < work.words;
  (side == 0 ? stage.rows : stage.columns)[row][word] =
      valid ? work.bitsets[view * work.words + first + word] : 0;
}

// What the lane's eighth of the triangles in both sets weighs.
__device__ inline double weigh(const uint64_t* a, const uint64_t* b, const double* weights) {
  const uint64_t mine = uint64_t{0x0101010101010101} << (threadIdx.x % 8);
  double sum = 0;
  for (int word = 0; word < kWeighWords; ++word)
    for (uint64_t bits = a[word] & b[word] & mine; bits != 0; bits &= bits - 1)
      sum += weights[64 * word + __ffsll(static_cast<long long>(bits)) - 1];
  return sum;
}

// block = 16 x 16 views; eight lanes = a row of half the columns: 8 pairs.
static __global__ void __launch_bounds__(kOverlapThreads) weigh_triangles(WeighWork work) {
  WeighStage& stage = *reinterpret_cast<WeighStage*>(shared_memory());
  const TilePair tile = tile_pair(blockIdx.x);
  const int lane = static_cast<int>(threadIdx.x) % 8, eight = static_cast<int>(threadIdx.x) / 8;
  const int row = eight / 2, column = eight % 2 * kWeighPairs;
  double sums[kWeighPairs] = {};
  for (int64_t first = 0; first < work.words; first += kWeighWords) {
    fetch_weights(work, tile, first, stage);
    __syncthreads();
    const uint64_t mine = stage.rows[row][lane];
#pragma unroll
    for (int j = 0; j < kWeighPairs; ++j) {
      if (__ballot_sync(0xffffffffu, (mine & stage.columns[column + j][lane]) != 0) == 0) continue;
      double sum = weigh(stage.rows[row], stage.columns[column + j], stage.weights);
      for (int lanes = 1; lanes < 8; lanes *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
      sums[j] += sum;
    }
    __syncthreads();
  }
  const int64_t a = tile.row * kWeighTile + row;
#pragma unroll
  for (int j = 0; j < kWeighPairs; ++j) {
    const int64_t b = tile.column * kWeighTile + column + j;
    if (lane == 0 && a < work.views && b < work.views)
      work.shared[a * work.views + b] = work.shared[b * work.views + a] = sums[j];
  }
}

// ---- masks -----------------------------------------------------------------------------------------------------------

struct MaskWork {
  IdMaps maps;
  Bitsets sets;
  ViewPairs pairs;
  int64_t rows, columns;  // of the grid
  int64_t cells;          // of all masks
  float* coverage;
};

MIRROR_HOST_DEVICE inline bool in_set(const uint64_t* set, int64_t words, int32_t id) {
  return id >= 0 && id / 64 < words && (set[id / 64] >> (id % 64) & 1) != 0;
}

// What pixel x and cell c share: [x cells, (x + 1) cells) and [c length, (c + 1) length).
MIRROR_HOST_DEVICE inline int64_t shared_length(int64_t x, int64_t c, int64_t length, int64_t cells) {
  const int64_t begin = x * cells > c * length ? x * cells : c * length;
  const int64_t end = (x + 1) * cells < (c + 1) * length ? (x + 1) * cells : (c + 1) * length;
  return end - begin;
}

// The lane's part of a cell's area: lanes lie side by side on a row of its pixels, or on several rows where it is narrow.
__device__ inline int64_t area_of_lane(const MaskWork& work, const int32_t* ids, const uint64_t* set,
                                       int64_t row, int64_t column) {
  const int64_t height = work.maps.height, width = work.maps.width;
  const int64_t left = column * width / work.columns;
  const int64_t right = ((column + 1) * width + work.columns - 1) / work.columns;
  const int64_t top = row * height / work.rows, bottom = ((row + 1) * height + work.rows - 1) / work.rows;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int across = right - left < 32 ? static_cast<int>(right - left) : 32, down = 32 / across;
  int64_t area = 0;
  for (int64_t y = lane < across * down ? top + lane / across : bottom; y < bottom; y += down) {
    const int64_t tall = shared_length(y, row, height, work.rows);
    for (int64_t x = left + lane % across; x < right; x += across)
      if (in_set(set, work.sets.words, ids[y * width + x]))
        area += tall * shared_length(x, column, width, work.columns);
  }
  return area;
}

// warp = cell
static __global__ void __launch_bounds__(kOverlapThreads) cover_cells(MaskWork work) {
  const int64_t warps = static_cast<int64_t>(gridDim.x) * kOverlapWarps;
  const int64_t pixels = work.maps.height * work.maps.width;
  for (int64_t cell = static_cast<int64_t>(blockIdx.x) * kOverlapWarps + threadIdx.x / 32; cell < work.cells;
       cell += warps) {
    const int64_t column = cell % work.columns, line = cell / work.columns;
    const int64_t row = line % work.rows, mask = line / work.rows;
    const int64_t pair = work.pairs.directed ? mask : mask / 2;
    const int64_t first = work.pairs.directed ? 0 : mask % 2;
    const int32_t* const ids = work.maps.ids + work.pairs.pairs[2 * pair + first] * pixels;
    const uint64_t* const set = work.sets.bits + work.pairs.pairs[2 * pair + 1 - first] * work.sets.words;
    int64_t area = area_of_lane(work, ids, set, row, column);
    for (int lanes = 16; lanes > 0; lanes >>= 1) area += __shfl_xor_sync(0xffffffffu, area, lanes);
    if (threadIdx.x % 32 == 0)
      work.coverage[cell] = static_cast<float>(static_cast<double>(area) / static_cast<double>(pixels));
  }
}

}  // namespace cuda
}  // namespace mirror
