#include "core/isa.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace mirror {
namespace {

constexpr const char* kNames[] = {"portable", "avx2", "avx512", "amx"};

struct Cpu {
  Isa isa = Isa::kPortable;
  bool bf16 = false;
  bool vbmi2 = false;
  bool vpopcntdq = false;
};

#if defined(__x86_64__)
// The operating system must save the registers too: XCR0 says which it does.
unsigned long long saved_state() {
  unsigned low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<unsigned long long>(high) << 32 | low;
}

// Linux gives tile registers to a process that asks. It refuses when a thread has a small alternate signal stack.
bool amx_permission() {
#if defined(__linux__)
  constexpr int kArchReqXcompPerm = 0x1023, kXfeatureTileData = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureTileData) == 0;
#else
  return false;
#endif
}

Cpu probe() {
  Cpu cpu;
  unsigned a, b, c, d;
  auto bit = [](unsigned word, int n) { return (word >> n & 1) != 0; };
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return cpu;  // OSXSAVE
  const unsigned long long saved = saved_state();
  const bool fma_f16c = bit(c, 12) && bit(c, 29);
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return cpu;
  if (!(fma_f16c && bit(b, 5) && (saved & 0x6) == 0x6)) return cpu;
  cpu.isa = Isa::kAvx2;
  const bool avx512 = bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31) && bit(c, 11);  // F DQ BW VL VNNI
  if (!(avx512 && (saved & 0xe6) == 0xe6)) return cpu;
  cpu.isa = Isa::kAvx512;
  cpu.vbmi2 = bit(c, 6);
  cpu.vpopcntdq = bit(c, 14);
  const bool amx = bit(d, 22) && bit(d, 24) && bit(d, 25);  // bf16, tile, int8
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) cpu.bf16 = bit(a, 5);
  if (amx && cpu.vbmi2 && cpu.bf16 && (saved & 0x60000) == 0x60000 && amx_permission()) cpu.isa = Isa::kAmx;
  return cpu;
}
#else
Cpu probe() { return {}; }
#endif

const Cpu& cpu() {
  static const Cpu found = probe();
  return found;
}

}  // namespace

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

Isa isa_available() { return cpu().isa; }

Isa isa_selected() {
  const char* wish = std::getenv("MIRROR_ISA");
  if (wish == nullptr || *wish == '\0') return isa_available();
  for (int level = 0; level < 4; ++level) {
    if (std::strcmp(wish, kNames[level]) != 0) continue;
    if (level > static_cast<int>(isa_available()))
      throw std::invalid_argument(std::string("MIRROR_ISA=") + wish + ": this machine has only " +
                                  isa_name(isa_available()));
    return static_cast<Isa>(level);
  }
  throw std::invalid_argument(std::string("MIRROR_ISA=") + wish + ": expected portable, avx2, avx512 or amx");
}

bool has_avx512_bf16() { return cpu().bf16; }
bool has_avx512_vbmi2() { return cpu().vbmi2; }
bool has_avx512_vpopcntdq() { return cpu().vpopcntdq; }

}  // namespace mirror
