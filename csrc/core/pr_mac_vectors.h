// Regional vectors as the kernels want them: rows of float (or double), whatever their storage type.
#pragma once

#include <cstdint>

#include "core/tasks.h"
#include "mirror/pr_mac.h"

namespace mirror {
namespace prmac {

// A set of images seen as rows of T, optionally rounded to bfloat16.
template <class T>
class Vectors {
 public:
  Vectors(const Regions& regions, bool round_to_bf16);

  int64_t images() const { return regions_.images; }
  int64_t capacity() const { return regions_.capacity; }
  int64_t channels() const { return regions_.channels; }
  int64_t size(int64_t image) const { return regions_.sizes ? regions_.sizes[image] : regions_.capacity; }
  bool rounded() const { return round_; }

  // Row [channels]; points into the data where nothing needs converting, else into scratch [channels].
  const T* row(int64_t image, int64_t region, T* scratch) const;

  // All rows of an image [size, channels]; scratch [capacity, channels] is used as above.
  const T* rows(int64_t image, T* scratch) const;
  // Doubles of scratch space that `rows` of `count` rows needs: 0 where nothing needs converting.
  int64_t scratch_size(int64_t count) const { return direct_ ? 0 : count * channels(); }

 private:
  void convert(int64_t first, int64_t count, T* out) const;

  Regions regions_;
  bool round_;
  bool direct_;  // the data are rows of T already
};

// x rounded to bfloat16 (nearest even), as a float.
float round_to_bf16(float x);

// |x|^2, summed in double in a fixed order.
template <class T>
double squared_norm(const T* x, int64_t channels);

// min over the image's regions of |q - t|^2 by differences, for distances that the norms cancel; +inf without regions.
template <class T>
T direct_squared_distance(const T* query, const Vectors<T>& targets, int64_t image, T* scratch,
                          int32_t* index);

}  // namespace prmac
}  // namespace mirror
