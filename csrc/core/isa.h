// Which instruction sets this machine has, and which one an op shall use. Kernels are compiled per file with their own
// flags; only these two functions decide which of them runs.
#pragma once

namespace mirror {

// Levels include the ones before them.
enum class Isa : int {
  kPortable = 0,
  kAvx2 = 1,    // AVX2, FMA, F16C
  kAvx512 = 2,  // AVX-512 F BW DQ VL VNNI
  kAmx = 3,     // AMX tile, int8, bf16, and the kernel's permission to use it
};

const char* isa_name(Isa isa);

// The highest level of this machine. Asks for the AMX permission once; where that fails the level is AVX-512.
Isa isa_available();

// The level to use: MIRROR_ISA (portable, avx2, avx512, amx) or else the highest. Read anew at every call, so that one
// process can test every level. Throws std::invalid_argument when the value is unknown or beyond this machine.
Isa isa_selected();

// Extensions some AVX-512 machines lack.
bool has_avx512_bf16();
bool has_avx512_vbmi2();
bool has_avx512_vpopcntdq();

}  // namespace mirror
