// What the processor's multipliers give when nothing else is in the way: independent accumulators, everything in
// registers. Inline assembly, so that no flag is needed and no compiler can spill or skip anything. Random small values:
// tile units slow down on real data, and speed measured on zeros would be a lie.
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>

namespace {

// 12 accumulators (registers 0-11), operands in 14 and 15: enough to hide a latency of 4-6 cycles at two per cycle.
#define TWELVE(I) I(0) I(1) I(2) I(3) I(4) I(5) I(6) I(7) I(8) I(9) I(10) I(11)
#define CLOBBERS                                                                                           \
  "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define LOOP(LOAD, CLEAR, STEP)                                                             \
  asm volatile(LOAD(14, "%[a]") LOAD(15, "%[b]")                                            \
                   TWELVE(CLEAR) "1:\n\t" TWELVE(STEP) "dec %[n]\n\t jnz 1b\n\t vzeroupper" \
               : [n] "+r"(n)                                                                \
               : [a] "m"(*a), [b] "m"(*b)                                                   \
               : CLOBBERS)
#define LOAD256(r, x) "vmovups " x ", %%ymm" #r "\n\t"
#define LOAD512(r, x) "vmovups " x ", %%zmm" #r "\n\t"
#define CLEAR256(r) "vxorps %%ymm" #r ", %%ymm" #r ", %%ymm" #r "\n\t"
#define CLEAR512(r) "vxorps %%ymm" #r ", %%ymm" #r ", %%ymm" #r "\n\t"  // clears the upper half too
#define FMA256(r) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #r "\n\t"
#define FMA512(r) "vfmadd231ps %%zmm14, %%zmm15, %%zmm" #r "\n\t"
#define VNNI512(r) "vpdpbusd %%zmm14, %%zmm15, %%zmm" #r "\n\t"
#define BF16_512(r) "vdpbf16ps %%zmm14, %%zmm15, %%zmm" #r "\n\t"
// AVX2 has no dot product of bytes: products of 7-bit pairs, then a 16-bit sum.
#define BYTES256(r) "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n\t vpaddw %%ymm12, %%ymm" #r ", %%ymm" #r "\n\t"

struct alignas(64) Line {
  uint8_t bytes[64];
};

void fma_avx2(int64_t n, const Line* a, const Line* b) { LOOP(LOAD256, CLEAR256, FMA256); }
void fma_avx512(int64_t n, const Line* a, const Line* b) { LOOP(LOAD512, CLEAR512, FMA512); }
void bytes_avx2(int64_t n, const Line* a, const Line* b) { LOOP(LOAD256, CLEAR256, BYTES256); }
void bytes_avx512(int64_t n, const Line* a, const Line* b) { LOOP(LOAD512, CLEAR512, VNNI512); }
void bf16_avx512(int64_t n, const Line* a, const Line* b) { LOOP(LOAD512, CLEAR512, BF16_512); }

// Tiles 0-3 accumulate, 4-5 times 6-7.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

#define TILES(PRODUCT)                                                                             \
  const TileConfig config;                                                                         \
  const int64_t stride = 64;                                                                       \
  asm volatile(                                                                                    \
      "ldtilecfg %[config]\n\t"                                                                    \
      "tileloadd (%[a], %[stride]), %%tmm4\n\t tileloadd (%[b], %[stride]), %%tmm5\n\t"            \
      "tileloadd (%[b], %[stride]), %%tmm6\n\t tileloadd (%[a], %[stride]), %%tmm7\n\t"            \
      "tilezero %%tmm0\n\t tilezero %%tmm1\n\t tilezero %%tmm2\n\t tilezero %%tmm3\n\t"            \
      "1:\n\t" PRODUCT " %%tmm6, %%tmm4, %%tmm0\n\t" PRODUCT " %%tmm7, %%tmm4, %%tmm1\n\t" PRODUCT \
      " %%tmm6, %%tmm5, %%tmm2\n\t" PRODUCT                                                        \
      " %%tmm7, %%tmm5, %%tmm3\n\t"                                                                \
      "dec %[n]\n\t jnz 1b\n\t tilerelease"                                                        \
      : [n] "+r"(n)                                                                                \
      : [config] "m"(config), [a] "r"(a), [b] "r"(b), [stride] "r"(stride)                         \
      : "cc", "memory")

void bytes_amx(int64_t n, const Line* a, const Line* b) { TILES("tdpbuud"); }
void bf16_amx(int64_t n, const Line* a, const Line* b) { TILES("tdpbf16ps"); }

struct Kind {
  const char* name;
  void (*run)(int64_t, const Line*, const Line*);
  double operations;  // multiplications and additions of one round of the loop
  bool floats;
};
constexpr Kind kinds[] = {
    {"fma_avx2", fma_avx2, 12 * 8 * 2, true},          {"fma_avx512", fma_avx512, 12 * 16 * 2, true},
    {"bytes_avx2", bytes_avx2, 12 * 32 * 2, false},    {"bytes_avx512", bytes_avx512, 12 * 64 * 2, false},
    {"bf16_avx512", bf16_avx512, 12 * 32 * 2, true},   {"bytes_amx", bytes_amx, 4 * 16 * 16 * 64 * 2, false},
    {"bf16_amx", bf16_amx, 4 * 16 * 16 * 32 * 2, true}};

// One tile of operands: 7-bit integers, or floats near 1 (which are near 1 as bfloat16 pairs too).
void fill(Line* tile, bool floats, uint32_t seed) {
  for (int i = 0; i < 16 * 64; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tile[i / 64].bytes[i % 64] = static_cast<uint8_t>(seed >> 25);
    if (floats && i % 2 == 1) tile[i / 64].bytes[i % 64] = 0x3f;
  }
}

}  // namespace

// Asks the kernel for the tile registers. Returns 0 where it grants them.
extern "C" int peak_permission() { return static_cast<int>(syscall(SYS_arch_prctl, 0x1023, 18)); }

// Runs `rounds` of a kind and returns how many operations that were; -1: there is no such kind.
extern "C" double peak_run(const char* name, int64_t rounds) {
  for (const Kind& kind : kinds) {
    if (std::strcmp(kind.name, name) != 0) continue;
    Line a[16], b[16];
    fill(a, kind.floats, 1);
    fill(b, kind.floats, 2);
    kind.run(rounds, a, b);
    return kind.operations * static_cast<double>(rounds);
  }
  return -1;
}

#else

extern "C" int peak_permission() { return -1; }
extern "C" double peak_run(const char*, int64_t) { return -1; }

#endif
