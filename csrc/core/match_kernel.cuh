// CUDA kernels of the match kernel. Block = one pair of photos at a time, warp = its share of the columns:
//
//                 columns (features of b): 8 per step, steps dealt to the warps in turn
//               +------+------+------+--     64 rows stay in registers as tensor-core operands while the columns
//    64 rows    | w 0  | w 1  | w 0  |       stream by, straight from L1 or L2 into registers: a column belongs to one
//  (features    +------+------+------+--     warp, so warps meet only once per 64 rows. A product is used where it is
//    of a)      | w 0  | w 1  | w 0  |       born, for its row's and its column's two largest keys, and never stored.
//
// A key orders by product, then by lowest index: product << 11 | (2047 - index in the block of 1024). Products are below
// 2^21, so it fits 32 bits, and it is never 0, which stands for none. Keys of whole photos have 64 bits.
// Rows and columns beyond a photo are zeros: their product with everything is 0 and their index is higher than that of
// the real ones, of which there are at least two, so they never become first or second.
#pragma once

#include "core/device.cuh"
#include "core/match_kernel_keys.cuh"
#include "core/match_kernel_score.h"

namespace mirror {
namespace cuda {

constexpr int kTileRows = 64;
constexpr int kTileColumns = 8;
constexpr int kColumnBlock = 1024;
constexpr int kMaxWarps = 8;
constexpr int kDescriptorBytes = 128;

// ---- one pair -------------------------------------------------------------------------------------------------------

struct RowBest {
  int32_t column;
  float ratio;
};

struct PairView {
  const uint8_t* a;  // [rows, 128]
  const uint8_t* b;  // [columns, 128]
  const int32_t* a_norms;
  const int32_t* b_norms;
  int32_t rows, columns;
};

// State of a pair while it is worked on. Shared memory holds `partial` and `tile_rows`; the rest lies there too, or in
// global memory where photos are large.
struct PairState {
  TopTwo<uint32_t>* partial;    // [kMaxWarps, kTileRows]
  TopTwo<uint64_t>* tile_rows;  // [kTileRows]
  TopTwo<uint64_t>* columns;    // [b_depth]
  RowBest* rows;                // [a_depth]
};

constexpr int kPartialBytes = kMaxWarps * kTileRows * static_cast<int>(sizeof(TopTwo<uint32_t>));
constexpr int kFixedSharedBytes = kPartialBytes + kTileRows * static_cast<int>(sizeof(TopTwo<uint64_t>));

MIRROR_HOST_DEVICE inline int64_t pair_state_bytes(int64_t a_depth, int64_t b_depth) {
  const int64_t bytes = b_depth * static_cast<int64_t>(sizeof(TopTwo<uint64_t>)) +
                        a_depth * static_cast<int64_t>(sizeof(RowBest));
  return (bytes + 15) / 16 * 16;
}

__device__ inline PairState pair_state(const MatchWork& work) {
  unsigned char* shared = shared_memory();
  unsigned char* rest = work.scratch == nullptr
                            ? shared + kFixedSharedBytes
                            : work.scratch + blockIdx.x * pair_state_bytes(work.a_depth, work.b_depth);
  PairState state;
  state.partial = reinterpret_cast<TopTwo<uint32_t>*>(shared);
  state.tile_rows = reinterpret_cast<TopTwo<uint64_t>*>(shared + kPartialBytes);
  state.columns = reinterpret_cast<TopTwo<uint64_t>*>(rest);
  state.rows = reinterpret_cast<RowBest*>(rest + work.b_depth * sizeof(TopTwo<uint64_t>));
  return state;
}

// One lane's share of a descriptor: bytes 16 t .. and 64 + 16 t .., read as they lie. The tensor core wants bytes in
// another order along k, but a sum does not care as long as both operands agree: word 2 s and 2 s + 1 are step s.
struct Words {
  uint32_t word[8];
};

// The 64 rows of a tile as operands a[i][s]: rows 16 i .., step s. Word by word, because a tensor-core operand wants two
// rows' words in turn in neighbouring registers: loaded by fours they would have to be moved there before every use.
using RowOperands = uint32_t[4][4][4];

__device__ inline void load_rows(const uint8_t* rows, int row, int count, int g, int t, RowOperands& a) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int reg = 0; reg < 4; ++reg) {
      const int at = row + 16 * i + 8 * (reg & 1) + g;
      const uint32_t* const words =
          reinterpret_cast<const uint32_t*>(rows + static_cast<int64_t>(at) * kDescriptorBytes + 16 * t);
#pragma unroll
      for (int s = 0; s < 4; ++s) {
        const int word = 2 * s + (reg >> 1);
        a[i][s][reg] = at < count ? __ldg(words + (word < 4 ? word : 12 + word)) : 0u;
      }
    }
}

__device__ inline Words load_words(const uint8_t* rows, int row, int count, int t) {
  uint4 low = {0, 0, 0, 0}, high = {0, 0, 0, 0};
  if (row < count) {
    const uint8_t* at = rows + static_cast<int64_t>(row) * kDescriptorBytes + 16 * t;
    low = __ldg(reinterpret_cast<const uint4*>(at));
    high = __ldg(reinterpret_cast<const uint4*>(at + 64));
  }
  return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

// By value: choosing between two addresses would put both into local memory.
__device__ inline TopTwo<uint32_t> choose(bool first, TopTwo<uint32_t> x, TopTwo<uint32_t> y) {
  return {first ? x.first : y.first, first ? x.second : y.second};
}

__device__ inline TopTwo<uint32_t> exchange(const TopTwo<uint32_t>& keys, int mask) {
  return {__shfl_xor_sync(0xffffffffu, keys.first, mask), __shfl_xor_sync(0xffffffffu, keys.second, mask)};
}

// The two largest keys of 8 columns over the 64 rows of a tile: lane (g, t) brings its rows' best of columns 2t and
// 2t + 1. The first exchange also halves the work: lanes with g < 4 keep the even column, the others the odd one.
__device__ inline TopTwo<uint32_t> reduce_columns(const TopTwo<uint32_t> (&best)[2], int lane) {
  const bool odd = (lane & 16) != 0;
  TopTwo<uint32_t> mine = choose(odd, best[1], best[0]);
  mine.merge(exchange(choose(odd, best[0], best[1]), 16));
  mine.merge(exchange(mine, 8));
  mine.merge(exchange(mine, 4));
  return mine;
}

// Columns [first, last) against 64 rows whose operands are in `a`; leaves the two largest keys of row 16 i + 8 h + g in
// rows[2 i + h].
__device__ inline void match_columns(const PairView& pair, const RowOperands& a, int row_begin, int first,
                                     int last, TopTwo<uint64_t>* columns, TopTwo<uint32_t> (&rows)[8]) {
  const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const int step = static_cast<int>(blockDim.x >> 5) * kTileColumns;
  int column = first + static_cast<int>(threadIdx.x >> 5) * kTileColumns;
  Words next = load_words(pair.b, column + g, pair.columns, t);
  for (; column < last; column += step) {
    const Words b = next;
    next = load_words(pair.b, column + step + g, pair.columns, t);  // on its way while this step is computed
    int32_t c[4][4] = {};
#pragma unroll
    for (int s = 0; s < 4; ++s)
#pragma unroll
      for (int i = 0; i < 4; ++i) mma_u8(c[i], a[i][s], b.word[2 * s], b.word[2 * s + 1]);
    const int in_block = column - first + 2 * t;
    TopTwo<uint32_t> best[2] = {{0, 0}, {0, 0}};
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int h = 0; h < 2; ++h)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          rows[2 * i + h].insert(match_key(c[i][2 * h + e], in_block + e));
          best[e].insert(match_key(c[i][2 * h + e], 16 * i + 8 * h + g));
        }
    const TopTwo<uint32_t> reduced = reduce_columns(best, lane);
    const int mine = column + 2 * t + (g >> 2);
    if ((g & 3) == 0 && mine < pair.columns) {
      TopTwo<uint64_t> keys = widen(reduced, row_begin);
      if (row_begin > 0) keys.merge(columns[mine]);
      columns[mine] = keys;
    }
  }
}

// Joins what the lanes and warps found for the tile's rows in the column block that begins at `column_begin`.
__device__ inline void join_rows(const PairState& state, TopTwo<uint32_t> (&rows)[8], int column_begin) {
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
#pragma unroll
  for (int r = 0; r < 8; ++r) {
    rows[r].merge(exchange(rows[r], 1));
    rows[r].merge(exchange(rows[r], 2));
    if ((lane & 3) == 0) state.partial[warp * kTileRows + 8 * r + (lane >> 2)] = rows[r];
  }
  __syncthreads();
  for (int row = threadIdx.x; row < kTileRows; row += blockDim.x) {
    TopTwo<uint32_t> keys = state.partial[row];
    for (int w = 1; w < warps; ++w) keys.merge(state.partial[w * kTileRows + row]);
    TopTwo<uint64_t> wide = widen(keys, column_begin);
    if (column_begin > 0) wide.merge(state.tile_rows[row]);
    state.tile_rows[row] = wide;
  }
  __syncthreads();
}

// The nearest column of every row, with its ratio, and the two largest keys of every column. At least two of each.
__device__ inline void match_pair(const PairView& pair, const PairState& state) {
  const int lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  for (int row_begin = 0; row_begin < pair.rows; row_begin += kTileRows) {
    RowOperands a;
    load_rows(pair.a, row_begin, pair.rows, g, t, a);
    for (int first = 0; first < pair.columns; first += kColumnBlock) {
      const int last = first + kColumnBlock < pair.columns ? first + kColumnBlock : pair.columns;
      TopTwo<uint32_t> rows[8] = {};
      match_columns(pair, a, row_begin, first, last, state.columns, rows);
      join_rows(state, rows, first);
    }
    for (int r = threadIdx.x; r < kTileRows && row_begin + r < pair.rows; r += blockDim.x) {
      const TopTwo<uint64_t> keys = state.tile_rows[r];  // this thread's own
      const int row = row_begin + r, nearest = key_index(keys.first), second = key_index(keys.second);
      const int32_t best = pair.a_norms[row] + pair.b_norms[nearest] - 2 * key_product(keys.first);
      const int32_t rest = pair.a_norms[row] + pair.b_norms[second] - 2 * key_product(keys.second);
      state.rows[row] = {nearest, match_ratio(best, rest)};
    }
  }
  __syncthreads();
}

struct Match {
  bool mutual;
  int32_t column;
  float row_ratio, column_ratio;
};

MIRROR_HOST_DEVICE inline Match match_of_row(const PairView& pair, const PairState& state, int32_t row) {
  const RowBest best = state.rows[row];
  const TopTwo<uint64_t> keys = state.columns[best.column];
  if (key_index(keys.first) != row) return {false, best.column, best.ratio, 1.0f};
  const int32_t norm = pair.b_norms[best.column];
  const int32_t nearest = norm + pair.a_norms[row] - 2 * key_product(keys.first);
  const int32_t rest = norm + pair.a_norms[key_index(keys.second)] - 2 * key_product(keys.second);
  return {true, best.column, best.ratio, match_ratio(nearest, rest)};
}

// ---- kernels --------------------------------------------------------------------------------------------------------

// |x|^2 of the features that are read, 0 beyond a photo's size. Thread = feature.
static __global__ void squared_norms(const uint8_t* data, const int32_t* sizes, int64_t images,
                                     int64_t capacity, int32_t depth, int32_t* norms) {
  const int64_t number = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (number >= images * depth) return;
  const int64_t image = number / depth, row = number % depth;
  int32_t sum = 0;
  if (row < size_of(sizes, image, depth)) {
    const uint8_t* at = data + (image * capacity + row) * kDescriptorBytes;
    for (int i = 0; i < kDescriptorBytes; i += 16) {
      const uint4 v = __ldg(reinterpret_cast<const uint4*>(at + i));
      sum += static_cast<int32_t>(__dp4a(v.x, v.x, 0u) + __dp4a(v.y, v.y, 0u) + __dp4a(v.z, v.z, 0u) +
                                  __dp4a(v.w, v.w, 0u));
    }
  }
  norms[number] = sum;
}

__device__ inline PairView view_of(const MatchWork& work, PairIndex pair) {
  return {work.a + pair.a * work.a_capacity * kDescriptorBytes,
          work.b + pair.b * work.b_capacity * kDescriptorBytes,
          work.a_norms + pair.a * work.a_depth,
          work.b_norms + pair.b * work.b_depth,
          size_of(work.a_sizes, pair.a, work.a_depth),
          size_of(work.b_sizes, pair.b, work.b_depth)};
}

// The sum over all threads of the block, in thread 0. Integers: the order does not matter.
__device__ inline int64_t block_sum(int64_t value, unsigned char* shared) {
  long long* const sums = reinterpret_cast<long long*>(shared);
  long long sum = value;
  for (int mask = 16; mask > 0; mask >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
  if ((threadIdx.x & 31) == 0) sums[threadIdx.x >> 5] = sum;
  __syncthreads();
  sum = 0;
  for (unsigned w = 0; w < blockDim.x >> 5; ++w) sum += sums[w];
  return sum;
}

// Block = pairs blockIdx.x, blockIdx.x + gridDim.x, ...; blockDim.x = 32 * warps. With at most 168 registers 12 warps fit a
// multiprocessor. Of the 239 instructions of a step (sm_90a) 16 are tensor-core products and 83 minima and maxima, which
// run at half rate: these, not memory, should be the limit.
static __global__ void __launch_bounds__(32 * kMaxWarps) match_scores(MatchWork work) {
  const PairState state = pair_state(work);
  for (int64_t number = blockIdx.x; number < work.count; number += gridDim.x) {
    const PairIndex index = pair_of(work, number);
    const PairView pair = view_of(work, index);
    int64_t sum = 0;
    if (pair.rows >= 2 && pair.columns >= 2) {
      match_pair(pair, state);
      for (int row = threadIdx.x; row < pair.rows; row += blockDim.x) {
        const Match match = match_of_row(pair, state, row);
        if (match.mutual) sum += match_term(match.row_ratio, match.column_ratio);
      }
    }
    sum = block_sum(sum, shared_memory());
    if (threadIdx.x == 0) {
      const float score = match_score(sum);
      if (work.mode == MatchMode::kPairs) {
        work.scores[number] = score;
      } else {
        work.scores[index.a * work.b_images + index.b] = score;
        if (work.mode == MatchMode::kSelf) work.scores[index.b * work.b_images + index.a] = score;
      }
    }
    __syncthreads();
  }
}

// Mutual matches, twice over: first their number, then, with room made, the matches, rising in the row. Computing twice
// costs less memory than keeping every pair's matches at their largest possible number.
template <bool kWrite>
__global__ void __launch_bounds__(32 * kMaxWarps) match_lists(MatchWork work) {
  const PairState state = pair_state(work);
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  int32_t* const warp_counts = reinterpret_cast<int32_t*>(state.partial);
  for (int64_t number = blockIdx.x; number < work.count; number += gridDim.x) {
    const PairView pair = view_of(work, pair_of(work, number));
    int64_t written = 0;
    if (pair.rows >= 2 && pair.columns >= 2) {
      match_pair(pair, state);
      for (int begin = 0; begin < pair.rows; begin += blockDim.x) {
        const int row = begin + threadIdx.x;
        Match match = {false, 0, 1.0f, 1.0f};
        if (row < pair.rows) match = match_of_row(pair, state, row);
        const bool keep =
            match.mutual && (match.row_ratio < work.max_ratio || match.column_ratio < work.max_ratio);
        const unsigned kept = __ballot_sync(0xffffffffu, keep);
        if (lane == 0) warp_counts[warp] = __popc(kept);
        __syncthreads();
        int32_t before = 0, all = 0;
        for (int w = 0; w < warps; ++w) {
          before += w < warp ? warp_counts[w] : 0;
          all += warp_counts[w];
        }
        if (kWrite && keep) {
          const int64_t at = work.offsets[number] + written + before + __popc(kept & ((1u << lane) - 1));
          work.matches[2 * at] = row;
          work.matches[2 * at + 1] = match.column;
          work.ratios[2 * at] = match.row_ratio;
          work.ratios[2 * at + 1] = match.column_ratio;
        }
        written += all;
        __syncthreads();
      }
    }
    if (!kWrite && threadIdx.x == 0) work.offsets[number] = written;
    __syncthreads();
  }
}

// Counts [count] in place to offsets [count + 1], by one block of at most 1024 threads. Thread = one contiguous share.
static __global__ void counts_to_offsets(int64_t* values, int64_t count) {
  int64_t* const sums = reinterpret_cast<int64_t*>(shared_memory());  // [blockDim.x]
  const int64_t share = (count + blockDim.x - 1) / blockDim.x;
  const int64_t begin = threadIdx.x * share < count ? threadIdx.x * share : count;
  const int64_t end = begin + share < count ? begin + share : count;
  int64_t sum = 0;
  for (int64_t i = begin; i < end; ++i) sum += values[i];
  sums[threadIdx.x] = sum;
  __syncthreads();
  int64_t before = 0;
  for (unsigned i = 0; i < threadIdx.x; ++i) before += sums[i];
  for (int64_t i = begin; i < end; ++i) {
    const int64_t here = values[i];
    values[i] = before;
    before += here;
  }
  if (threadIdx.x == blockDim.x - 1) values[count] = before;
}

}  // namespace cuda
}  // namespace mirror
