// PR-MAC: regional min-distance matching (ACCV 2018, Eq. 9-10). Every region of a query image looks for its closest
// region of a target image; the reduction turns these R minima into one score. Nothing of size [Q*R, T*S] or (top-k)
// [Q, T] is ever held in memory.
#pragma once

#include <cstdint>

#include "mirror/parallel.h"
#include "mirror/scalar.h"

namespace mirror {

// With s_i = max_j <q_i, t_j> and d_i = min_j |q_i - t_j| over the query's regions i and the target's regions j:
enum class Reduction : int {
  kCosine = 0,     // mean_i s_i          higher is closer (Eq. 10 on similarities; the default)
  kSqEuclid = 1,   // sum_i d_i^2         lower is closer, as are all distances below
  kEuclidSum = 2,  // sum_i d_i           Eq. 10, literally
  kEuclidL2 = 3,   // sqrt(sum_i d_i^2)   the other reading of Eq. 10
  kBest = 4,       // max_i s_i           AML: best single pair of regions; higher is closer
  kHausdorff = 5,  // max_i d_i           AML in distance mode: directed Hausdorff distance
};
constexpr bool higher_is_closer(Reduction r) { return r == Reduction::kCosine || r == Reduction::kBest; }

enum class Precision : int {
  kExact = 0,  // every product in the storage's arithmetic
  kBf16 =
      1,  // all pairs: products of bfloat16-rounded vectors, float32 sums (AMX or AVX512-BF16 where present);
          // top-k: that as a first pass, then exact re-scoring of the candidates
};

// Images' regional vectors, padded to the same number of regions. Regions at and beyond an image's size do not exist.
// An image without regions: as a query it scores 0 against every target, as a target it is infinitely far from every
// other query (-inf similarity, +inf distance). A NaN product never is a maximum; scores of NaN vectors are unspecified.
struct Regions {
  const void* data = nullptr;  // [images, capacity, channels], contiguous, of type `scalar`
  const int32_t* sizes =
      nullptr;  // [images], 0 <= size <= capacity; nullptr: every image has `capacity` regions
  int64_t images = 0;
  int64_t capacity = 0;
  int64_t channels = 0;
  Scalar scalar = Scalar::kFloat32;  // scores are float64 for float64 vectors, float32 otherwise
};

// Scores of all pairs. scores [query.images, target.images] (float or double, see Scalar).
// argmax [query.images, target.images, query.capacity] int32 or nullptr: the target region that region i matched
// (lowest index on ties), -1 for regions that do not exist. query and target share channels and scalar.
void pr_mac(const Regions& query, const Regions& target, Reduction reduction, Precision precision,
            void* scores, int32_t* argmax, const Parallel& parallel);

// The same with query = target: each tile of products serves both directions. The same bits as pr_mac(x, x).
void pr_mac_self(const Regions& images, Reduction reduction, Precision precision, void* scores,
                 int32_t* argmax, const Parallel& parallel);

struct TopKOptions {
  int64_t k = 0;
  Precision precision = Precision::kExact;
  int64_t margin = 32;  // kBf16: how many candidates beyond k are re-scored exactly
  bool certified =
      false;  // kBf16: re-score every candidate that the rounding bound cannot exclude: provably exact,
              // for vectors of any length and all readings; margin is not used
};

// The k closest targets of each query, closest first, ties by lowest index. values [query.images, k], indices
// [query.images, k] int64. Where k exceeds target.images the tail is filled with (-inf or +inf, -1).
// Extra memory: O(block), independent of the number of images squared.
void pr_mac_topk(const Regions& query, const Regions& target, Reduction reduction, const TopKOptions& options,
                 void* values, int64_t* indices, const Parallel& parallel);

// The same with query = target; an image is its own first neighbour.
void pr_mac_topk_self(const Regions& images, Reduction reduction, const TopKOptions& options, void* values,
                      int64_t* indices, const Parallel& parallel);

// Scores of listed candidates only. candidates [query.images, count] index into target; -1 gives the worst score.
// scores [query.images, count], the same bits as pr_mac's.
void pr_mac_rerank(const Regions& query, const Regions& target, const int64_t* candidates, int64_t count,
                   Reduction reduction, void* scores, const Parallel& parallel);

// Gradient of pr_mac: grad [query.images, target.images], scores and argmax as pr_mac gave them; grad_query and
// grad_target have the shapes of the data and are overwritten. float32 and float64 only. The gradient flows through
// the matched regions; a distance of zero has gradient zero. Same bits for every number of threads.
void pr_mac_backward(const Regions& query, const Regions& target, Reduction reduction, const void* grad,
                     const void* scores, const int32_t* argmax, void* grad_query, void* grad_target,
                     const Parallel& parallel);

}  // namespace mirror
