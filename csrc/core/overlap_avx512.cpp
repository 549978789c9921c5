#include "core/overlap_blocks.h"
#include "core/overlap_runs.h"

namespace mirror {
namespace overlap {

Kernels avx512_kernels() {
  return {find_runs,  largest_id, areas_of, runs_at, add_up, occupied, avx2_kernels().count_block,
          weigh_block};
}

}  // namespace overlap
}  // namespace mirror
