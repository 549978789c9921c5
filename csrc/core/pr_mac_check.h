// Checks that every pr_mac op shares. They throw std::invalid_argument with one sentence.
#pragma once

#include "mirror/pr_mac.h"

namespace mirror {
namespace prmac {

void check_regions(const char* op, const char* argument, const Regions& regions);
// The above for both, and that they belong together.
void check_pair(const char* op, const Regions& query, const Regions& target);
void check_reduction(const char* op, Reduction reduction);
void check_precision(const char* op, const Regions& query, Precision precision);

}  // namespace prmac
}  // namespace mirror
