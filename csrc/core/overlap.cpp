// The choice of instructions.
#include "core/isa.h"
#include "core/overlap_kernels.h"

namespace mirror {
namespace overlap {

Kernels selected_kernels() {
#if defined(MIRROR_X86)
  const Isa isa = isa_selected();
  if (isa >= Isa::kAvx512) {
    Kernels found = avx512_kernels();
    if (has_avx512_vpopcntdq()) found.count_block = count_block_vpopcnt;
    return found;
  }
  if (isa >= Isa::kAvx2) return avx2_kernels();
#endif
  return portable_kernels();
}

}  // namespace overlap
}  // namespace mirror
