#include "core/similarity_support_sieve.h"

namespace mirror {

bool support_sieve_avx2(const SupportColumns<float>& matches, int64_t m, const SupportLimits& limits,
                        int32_t* supporters, int32_t* doubtful) {
  return sift_couples(matches, m, limits, supporters, doubtful);
}

}  // namespace mirror
