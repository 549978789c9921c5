#include "core/overlap_runs.h"
#include "core/overlap_weigh.h"

namespace mirror {
namespace overlap {

Kernels avx512_kernels() {
  return {find_runs, largest_id, areas_of, runs_at, add_up, avx2_kernels().count_block, weigh_block};
}

}  // namespace overlap
}  // namespace mirror
