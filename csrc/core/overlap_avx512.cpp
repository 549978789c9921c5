#include "core/overlap_runs.h"
#include "core/overlap_weigh.h"

namespace mirror {
namespace overlap {

Kernels avx512_kernels() { return {run_starts, runs_at, add_row, avx2_kernels().count_block, weigh_block}; }

}  // namespace overlap
}  // namespace mirror
