// How a chunk of a tile (pr_mac_tile.cuh) is multiplied, and which images a thread owns: query images query_slot(0) and
// query_slot(1) of 32, target images target_slot(0) and target_slot(1).
#pragma once

#include "core/pr_mac_score.cuh"

namespace mirror {
namespace cuda {

constexpr int kTileImages = 32;
constexpr int kTileThreads = 256;
constexpr int kChunk = 32;      // channels
constexpr int kRowRegions = 4;  // query regions of a group

// Products on the tensor cores. Warp (r, c) of 2 x 4 owns query images 16 r .. and target images 8 c ..; lane (g, t) owns
// queries g and g + 8 of these and targets 2 t and 2 t + 1, as the accumulators of m16n8k16 lie.
// A row of a chunk has 64 bytes, four units of 16. Eight rows at once are read by a matrix load, and unit u of row r lies
// at place u ^ (r / 2 % 4), so that these eight units are in different banks.
template <class StorageType, class Mma, int kRegions>
struct TensorEngine {
  using Storage = StorageType;
  static constexpr int kColumnRegions = kRegions;
  static constexpr int kStages = 4;
  static constexpr int kRowBytes = 64;

  static __device__ int place(int row, int unit) { return row * kRowBytes + 16 * (unit ^ (row >> 1 & 3)); }
  static __device__ int query_slot(int h) { return 16 * (threadIdx.x >> 7) + (threadIdx.x >> 2 & 7) + 8 * h; }
  static __device__ int target_slot(int e) { return 8 * (threadIdx.x >> 5 & 3) + 2 * (threadIdx.x & 3) + e; }

  template <bool kFull>
  static __device__ void multiply(const unsigned char* a, const unsigned char* b, int mi, int nj,
                                  float (&acc)[kRowRegions][kRegions][4]) {
    const int lane = threadIdx.x & 31;
    const unsigned char* const column = b + place(8 * (threadIdx.x >> 5 & 3) + (lane & 7), lane >> 3);
    const unsigned char* const row[2] = {a + place(16 * (threadIdx.x >> 7) + (lane & 15), lane >> 4),
                                         a + place(16 * (threadIdx.x >> 7) + (lane & 15), 2 + (lane >> 4))};
    constexpr int kRegionBytes = kTileImages * kRowBytes;
    uint32_t columns[kRegions][4];
#pragma unroll
    for (int j = 0; j < kRegions; ++j) load_matrices(column + j * kRegionBytes, columns[j]);
#pragma unroll
    for (int i = 0; i < kRowRegions; ++i) {
      if (!kFull && i >= mi) break;
#pragma unroll
      for (int s = 0; s < 2; ++s) {
        uint32_t rows[4];
        load_matrices(row[s] + i * kRegionBytes, rows);
#pragma unroll
        for (int j = 0; j < kRegions; ++j)
          if (kFull || j < nj) Mma::multiply(acc[i][j], rows, columns[j][2 * s], columns[j][2 * s + 1]);
      }
    }
  }
};

// Products by float32 FMAs. Thread (y, x) of 16 x 16 owns queries y and y + 16, targets x and x + 16. A row of a chunk
// has 128 bytes and 16 of padding: 8 lanes with 8 rows then read from all banks.
struct FloatEngine {
  using Storage = float;
  static constexpr int kColumnRegions = 4;
  static constexpr int kStages = 2;
  static constexpr int kRowBytes = 144;

  static __device__ int place(int row, int unit) { return row * kRowBytes + 16 * unit; }
  static __device__ int query_slot(int h) { return (threadIdx.x >> 4) + 16 * h; }
  static __device__ int target_slot(int e) { return (threadIdx.x & 15) + 16 * e; }

  static __device__ float4 load(const unsigned char* rows, int row, int unit) {
    return *reinterpret_cast<const float4*>(rows + place(row, unit));
  }

  template <bool kFull>
  static __device__ void multiply(const unsigned char* a, const unsigned char* b, int mi, int nj,
                                  float (&acc)[kRowRegions][kColumnRegions][4]) {
#pragma unroll 1
    for (int unit = 0; unit < kChunk / 4; ++unit) {
      float4 columns[kColumnRegions][2];
#pragma unroll
      for (int j = 0; j < kColumnRegions; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) columns[j][e] = load(b, j * kTileImages + target_slot(e), unit);
#pragma unroll
      for (int i = 0; i < kRowRegions; ++i) {
        if (!kFull && i >= mi) break;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          const float4 row = load(a, i * kTileImages + query_slot(h), unit);
#pragma unroll
          for (int j = 0; j < kColumnRegions; ++j)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              if (!kFull && j >= nj) continue;
              float& sum = acc[i][j][2 * h + e];
              sum = fmaf(row.x, columns[j][e].x, sum);
              sum = fmaf(row.y, columns[j][e].y, sum);
              sum = fmaf(row.z, columns[j][e].z, sum);
              sum = fmaf(row.w, columns[j][e].w, sum);
            }
        }
      }
    }
  }
};

}  // namespace cuda
}  // namespace mirror
