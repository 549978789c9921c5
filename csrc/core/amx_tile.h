// The tile instructions of AMX, as macros because tile numbers must be literals.
//
// Inline assembly, not the intrinsics: g++ 12 miscompiles _tile_loadconfig at -O2 (its operand covers 8 of 64
// bytes) and gives _tile_loadd no memory operand, so that stores to what is loaded may vanish or move behind
// it. Every macro here is volatile and touches memory as far as the compiler knows. The registers are
// invisible to it: all eight tiles belong to the function that uses them, and never live across a call.
//
// With MIRROR_AMX_EMULATE the same macros run in software, so that the logic of a kernel is tested on
// machines without AMX: integer products bit for bit; bfloat16 products in the documented order, whose last
// bit hardware may round otherwise.
//
//   static const TileConfig config = TileConfig::full();  // eight tiles of 16 rows x 64 bytes
//   MIRROR_TILE_CONFIG(config);                 // once per thread, before the first tile; about 160 cycles
//   MIRROR_TILE_LOAD(4, address, stride);       // 16 rows, `stride` bytes apart
//   MIRROR_TILE_ZERO(0);
//   MIRROR_TILE_DPBUUD(0, 4, 6);                // c[m][n] += sum_k,i a[m][4k+i] b[k][4n+i]   (uint8 -> int32)
//   MIRROR_TILE_DPBF16PS(0, 4, 6);              // c[m][n] += sum_k,i a[m][2k+i] b[k][2n+i]   (bfloat16 -> float)
//   MIRROR_TILE_STORE(0, address, stride);
//   MIRROR_TILE_RELEASE();                      // once per thread, after the last
#pragma once

#include <cstdint>
#include <cstring>

namespace mirror {

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  static TileConfig full() {
    TileConfig config;
    for (int t = 0; t < 8; ++t) {
      config.row_bytes[t] = 64;
      config.rows[t] = 16;
    }
    return config;
  }
};
static_assert(sizeof(TileConfig) == 64, "ldtilecfg reads 64 bytes");

}  // namespace mirror

#if !defined(MIRROR_AMX_EMULATE)

#define MIRROR_TILE_CONFIG(config) asm volatile("ldtilecfg %0" ::"m"(config) : "memory")
#define MIRROR_TILE_RELEASE() asm volatile("tilerelease" ::: "memory")
#define MIRROR_TILE_ZERO(t) asm volatile("tilezero %%tmm" #t::: "memory")
#define MIRROR_TILE_LOAD(t, address, stride)                                            \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #t::"r"(static_cast<const void*>(address)), \
               "r"(static_cast<int64_t>(stride))                                        \
               : "memory")
#define MIRROR_TILE_STORE(t, address, stride)                                          \
  asm volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(static_cast<void*>(address)), \
               "r"(static_cast<int64_t>(stride))                                       \
               : "memory")
#define MIRROR_TILE_DPBUUD(c, a, b) asm volatile("tdpbuud %%tmm" #b ", %%tmm" #a ", %%tmm" #c::: "memory")
#define MIRROR_TILE_DPBF16PS(c, a, b) asm volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c::: "memory")

#else

namespace mirror {
namespace {

struct EmulatedTiles {
  TileConfig config;
  alignas(64) uint8_t bytes[8][16][64];
};
thread_local EmulatedTiles emulated;

inline void emulated_config(const TileConfig& config) {
  emulated.config = config;
  std::memset(emulated.bytes, 0, sizeof emulated.bytes);
}

inline void emulated_zero(int t) { std::memset(emulated.bytes[t], 0, sizeof emulated.bytes[t]); }

inline void emulated_load(int t, const void* address, int64_t stride) {
  emulated_zero(t);
  for (int r = 0; r < emulated.config.rows[t]; ++r)
    std::memcpy(emulated.bytes[t][r], static_cast<const char*>(address) + r * stride,
                emulated.config.row_bytes[t]);
}

inline void emulated_store(int t, void* address, int64_t stride) {
  for (int r = 0; r < emulated.config.rows[t]; ++r)
    std::memcpy(static_cast<char*>(address) + r * stride, emulated.bytes[t][r], emulated.config.row_bytes[t]);
}

inline void emulated_dpbuud(int c, int a, int b) {
  const TileConfig& config = emulated.config;
  for (int m = 0; m < config.rows[c]; ++m) {
    int32_t row[16];
    std::memcpy(row, emulated.bytes[c][m], sizeof row);
    for (int k = 0; k < config.row_bytes[a] / 4; ++k)
      for (int n = 0; n < config.row_bytes[c] / 4; ++n)
        for (int i = 0; i < 4; ++i)
          row[n] += emulated.bytes[a][m][4 * k + i] * emulated.bytes[b][k][4 * n + i];
    std::memcpy(emulated.bytes[c][m], row, sizeof row);
  }
}

inline float emulated_bf16(const uint8_t* at) {
  uint16_t half;
  std::memcpy(&half, at, sizeof half);
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void emulated_dpbf16ps(int c, int a, int b) {
  const TileConfig& config = emulated.config;
  for (int m = 0; m < config.rows[c]; ++m) {
    float row[16];
    std::memcpy(row, emulated.bytes[c][m], sizeof row);
    for (int k = 0; k < config.row_bytes[a] / 4; ++k)
      for (int n = 0; n < config.row_bytes[c] / 4; ++n)
        for (int i = 0; i < 2; ++i)
          row[n] += emulated_bf16(emulated.bytes[a][m] + 4 * k + 2 * i) *
                    emulated_bf16(emulated.bytes[b][k] + 4 * n + 2 * i);
    std::memcpy(emulated.bytes[c][m], row, sizeof row);
  }
}

}  // namespace
}  // namespace mirror

#define MIRROR_TILE_CONFIG(config) ::mirror::emulated_config(config)
#define MIRROR_TILE_RELEASE() static_cast<void>(0)
#define MIRROR_TILE_ZERO(t) ::mirror::emulated_zero(t)
#define MIRROR_TILE_LOAD(t, address, stride) ::mirror::emulated_load(t, address, stride)
#define MIRROR_TILE_STORE(t, address, stride) ::mirror::emulated_store(t, address, stride)
#define MIRROR_TILE_DPBUUD(c, a, b) ::mirror::emulated_dpbuud(c, a, b)
#define MIRROR_TILE_DPBF16PS(c, a, b) ::mirror::emulated_dpbf16ps(c, a, b)

#endif
