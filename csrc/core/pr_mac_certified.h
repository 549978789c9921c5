// Top-k through bfloat16 products that is provably the exact one.
#pragma once

#include <cstdint>

#include "mirror/pr_mac.h"

namespace mirror {
namespace prmac {

// Arguments as pr_mac_topk's, checked; scalar is not float64.
void certified_top_k(const Regions& query, const Regions& target, bool self, Reduction reduction, int64_t k,
                     float* values, int64_t* indices, const Parallel& parallel);

}  // namespace prmac
}  // namespace mirror
