// Scores of listed candidates, in float32. Warp = one candidate, block = 8 candidates of one query, whose regions they
// share in shared memory. Lane (y, x) of 8 x 4 owns regions y, y + 8, ... of the query and x, x + 4, ... of the
// candidate. The same chain of FMAs per product and the same order of sums as in FloatEngine: the same bits.
#pragma once

#include "core/pr_mac_score.cuh"

namespace mirror {
namespace cuda {

constexpr int kRerankWarps = 8;
constexpr int kRerankChunk = 32;                   // channels
constexpr int kRerankRow = kRerankChunk * 4 + 16;  // bytes, padded against bank conflicts

struct RerankWork {
  Side<float> query, target;
  const int64_t* candidates;  // [query.images, count], -1: none
  int64_t count;
  Reduction reduction;
  float* scores;  // [query.images, count]
};

template <int kMi, int kNj>
MIRROR_HOST_DEVICE constexpr int rerank_shared_bytes() {
  return (8 * kMi + kRerankWarps * 4 * kNj) * kRerankRow + kRerankWarps * 8 * kMi * 4;
}

// Copies one chunk of `regions` regions, from region `first`, of one image; `image` < 0: zeros.
__device__ inline void copy_regions(const Side<float>& side, int64_t image, int first, int regions, int chunk,
                                    int thread, int threads, unsigned char* to) {
#pragma unroll 1
  for (int u = thread; u < regions * 8; u += threads) {
    const int row = u >> 3, unit = u & 7;
    const bool valid = image >= 0 && first + row < side.capacity;
    const float* from = valid ? side.row(image, first + row) + chunk * kRerankChunk + 4 * unit : side.rows;
    copy_async(to + row * kRerankRow + 16 * unit, from, valid);
  }
}

template <int kMi, int kNj>
__device__ inline void multiply_chunk(const unsigned char* rows, const unsigned char* columns,
                                      float (&acc)[kMi][kNj]) {
  const int y = threadIdx.x >> 2 & 7, x = threadIdx.x & 3;
#pragma unroll 1
  for (int unit = 0; unit < kRerankChunk / 4; ++unit) {
    float4 a[kMi];
#pragma unroll
    for (int i = 0; i < kMi; ++i)
      a[i] = *reinterpret_cast<const float4*>(rows + (8 * i + y) * kRerankRow + 16 * unit);
#pragma unroll
    for (int j = 0; j < kNj; ++j) {
      const float4 b = *reinterpret_cast<const float4*>(columns + (4 * j + x) * kRerankRow + 16 * unit);
#pragma unroll
      for (int i = 0; i < kMi; ++i) {
        acc[i][j] = fmaf(a[i].x, b.x, acc[i][j]);
        acc[i][j] = fmaf(a[i].y, b.y, acc[i][j]);
        acc[i][j] = fmaf(a[i].z, b.z, acc[i][j]);
        acc[i][j] = fmaf(a[i].w, b.w, acc[i][j]);
      }
    }
  }
}

template <int kMi, int kNj>
__global__ void __launch_bounds__(32 * kRerankWarps, 2) rerank_candidates(RerankWork work) {
  constexpr int kRows = 8 * kMi, kColumns = 4 * kNj;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, y = lane >> 2, x = lane & 3;
  const int64_t per_query = (work.count + kRerankWarps - 1) / kRerankWarps;
  const int64_t q = blockIdx.x / per_query, place = blockIdx.x % per_query * kRerankWarps + warp;
  const int64_t t = place < work.count ? work.candidates[q * work.count + place] : -1;
  const int32_t query_size = work.query.size(q), target_size = t < 0 ? 0 : work.target.size(t);
  unsigned char* const rows = shared_memory();
  unsigned char* const columns = rows + (kRows + warp * kColumns) * kRerankRow;
  float* const values =
      reinterpret_cast<float*>(rows + (kRows + kRerankWarps * kColumns) * kRerankRow) + warp * kRows;

  float sum = fold_start(work.reduction);  // lane 0's counts
  for (int first_row = 0; first_row < query_size; first_row += kRows) {
    float best[kMi];
#pragma unroll
    for (int i = 0; i < kMi; ++i) best[i] = -INFINITY;
    for (int first_column = 0; first_column < work.target.capacity; first_column += kColumns) {
      float acc[kMi][kNj] = {};
      for (int chunk = 0; chunk < work.query.channels / kRerankChunk; ++chunk) {
        __syncthreads();  // nobody reads the last chunk any more
        copy_regions(work.query, q, first_row, kRows, chunk, threadIdx.x, blockDim.x, rows);
        copy_regions(work.target, t, first_column, kColumns, chunk, lane, 32, columns);
        copy_async_commit();
        copy_async_wait<0>();
        __syncthreads();
        multiply_chunk(rows, columns, acc);
      }
#pragma unroll
      for (int j = 0; j < kNj; ++j) {
        const int region = first_column + 4 * j + x;
        const float bias =
            region < target_size ? work.target.bias[t * work.target.capacity + region] : INFINITY;
#pragma unroll
        for (int i = 0; i < kMi; ++i) best[i] = fmaxf(best[i], acc[i][j] - bias);
      }
    }
#pragma unroll
    for (int i = 0; i < kMi; ++i) {
      best[i] = fmaxf(best[i], __shfl_xor_sync(0xffffffffu, best[i], 1));
      best[i] = fmaxf(best[i], __shfl_xor_sync(0xffffffffu, best[i], 2));
      const int region = first_row + 8 * i + y;
      if (x == 0 && region < query_size && t >= 0)
        values[8 * i + y] =
            region_value(work.reduction, work.query, q, region, work.target, t, {best[i], 0}).value;
    }
    __syncwarp();
    if (lane == 0 && t >= 0)
      for (int r = 0; r < kRows && first_row + r < query_size; ++r)
        sum = fold_add(work.reduction, sum, values[r]);
    __syncwarp();
  }
  if (lane == 0 && place < work.count)
    work.scores[q * work.count + place] = t >= 0 ? fold_finish(work.reduction, sum, query_size)
                                          : !is_distance(work.reduction) ? -INFINITY
                                                                         : INFINITY;
}

}  // namespace cuda
}  // namespace mirror
