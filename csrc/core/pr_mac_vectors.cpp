#include "core/pr_mac_vectors.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "core/half.h"

namespace mirror {
namespace prmac {

float round_to_bf16(float x) {
  const uint32_t bits = float_to_bits(x);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
  const bool nan = (bits & 0x7fffffff) > 0x7f800000;
  return bits_to_float(nan ? 0x7fc00000 : rounded);
}

template <class T>
Vectors<T>::Vectors(const Regions& regions, bool round_to_bf16) : regions_(regions), round_(round_to_bf16) {
  const Scalar own = std::is_same<T, double>::value ? Scalar::kFloat64 : Scalar::kFloat32;
  direct_ = regions.scalar == own && !(round_ && own == Scalar::kFloat32);
}

template <class T>
void Vectors<T>::convert(int64_t first, int64_t count, T* out) const {
  const int64_t begin = first * channels(), n = count * channels();
  switch (regions_.scalar) {
    case Scalar::kFloat32: {
      const float* in = static_cast<const float*>(regions_.data) + begin;
      for (int64_t i = 0; i < n; ++i) out[i] = in[i];
      break;
    }
    case Scalar::kFloat64: {
      const double* in = static_cast<const double*>(regions_.data) + begin;
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(in[i]);
      break;
    }
    case Scalar::kBFloat16: {
      const uint16_t* in = static_cast<const uint16_t*>(regions_.data) + begin;
      for (int64_t i = 0; i < n; ++i) out[i] = widen_bf16(in[i]);
      break;
    }
    case Scalar::kFloat16: {
      const uint16_t* in = static_cast<const uint16_t*>(regions_.data) + begin;
      for (int64_t i = 0; i < n; ++i) out[i] = widen_fp16(in[i]);
      break;
    }
  }
  if (!round_) return;
  for (int64_t i = 0; i < n; ++i) out[i] = round_to_bf16(static_cast<float>(out[i]));
}

template <class T>
const T* Vectors<T>::row(int64_t image, int64_t region, T* scratch) const {
  const int64_t first = image * capacity() + region;
  if (direct_) return static_cast<const T*>(regions_.data) + first * channels();
  convert(first, 1, scratch);
  return scratch;
}

template <class T>
const T* Vectors<T>::rows(int64_t image, T* scratch) const {
  const int64_t first = image * capacity();
  if (direct_) return static_cast<const T*>(regions_.data) + first * channels();
  convert(first, size(image), scratch);
  return scratch;
}

template <class T>
double squared_norm(const T* x, int64_t channels) {
  double sum[4] = {0, 0, 0, 0};
  int64_t c = 0;
  for (; c + 4 <= channels; c += 4)
    for (int i = 0; i < 4; ++i) sum[i] += static_cast<double>(x[c + i]) * static_cast<double>(x[c + i]);
  for (; c < channels; ++c) sum[0] += static_cast<double>(x[c]) * static_cast<double>(x[c]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

namespace {

// |q - t|^2, or anything not below `least` once it is known to be.
template <class T>
double squared_difference(const T* query, const T* target, int64_t channels, double least) {
  double sum[8] = {};
  int64_t c = 0;
  auto total = [&] {
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
  };
  while (c + 8 <= channels) {
    for (const int64_t end = std::min(channels, c + 64); c + 8 <= end; c += 8)
      for (int i = 0; i < 8; ++i) {
        const double difference = static_cast<double>(query[c + i]) - static_cast<double>(target[c + i]);
        sum[i] += difference * difference;
      }
    if (total() >= least) return least;
  }
  for (; c < channels; ++c) {
    const double difference = static_cast<double>(query[c]) - static_cast<double>(target[c]);
    sum[0] += difference * difference;
  }
  return total();
}

}  // namespace

template <class T>
T direct_squared_distance(const T* query, const Vectors<T>& targets, int64_t image, T* scratch,
                          int32_t* index) {
  double least = std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < targets.size(image); ++j) {
    const double d = squared_difference(query, targets.row(image, j, scratch), targets.channels(), least);
    if (!(d < least)) continue;
    least = d;
    if (index) *index = static_cast<int32_t>(j);
  }
  return static_cast<T>(least);
}

template class Vectors<float>;
template class Vectors<double>;
template double squared_norm(const float*, int64_t);
template double squared_norm(const double*, int64_t);
template float direct_squared_distance(const float*, const Vectors<float>&, int64_t, float*, int32_t*);
template double direct_squared_distance(const double*, const Vectors<double>&, int64_t, double*, int32_t*);

}  // namespace prmac
}  // namespace mirror
