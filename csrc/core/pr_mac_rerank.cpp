// Scores of listed candidates: lanes = regions of the query, packed once; the candidates' regions are read where they
// lie.
#include "core/pr_mac_rerank.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "core/pr_mac_check.h"

namespace mirror {
namespace prmac {
namespace {

// Lanes that a query of `regions` regions takes.
template <class T>
int64_t lane_count(const Kernel<T>& kernel, int64_t regions) {
  int64_t lanes = 0;
  while (lanes < regions) lanes += kernel.strip_width(regions - lanes);
  return lanes;
}

}  // namespace

template <class T>
Buffer<T> half_norms(const Regions& target, Reduction reduction, const Parallel& parallel) {
  if (!is_distance(reduction)) return {};
  const Vectors<T> vectors(target, false);
  Buffer<T> out(target.images * target.capacity);
  auto make_worker = [&] {
    return [&, scratch = Buffer<T>(vectors.scratch_size(1))](int64_t image) {
      const FloatMode mode;
      for (int64_t r = 0; r < vectors.size(image); ++r)
        out[image * target.capacity + r] =
            static_cast<T>(0.5 * squared_norm(vectors.row(image, r, scratch.get()), target.channels));
    };
  };
  run_tasks(parallel, target.images, make_worker);
  return out;
}

template <class T>
Scorer<T>::Scorer(const Regions& query, const Regions& target, Reduction reduction, const T* biases)
    : query_(query, false),
      target_(target, false),
      reducer_(query_, target_, reduction),
      kernel_(select_kernel<T>(Precision::kExact)),
      distance_(is_distance(reduction)),
      query_scratch_(query_.scratch_size(query_.capacity())),
      target_scratch_(target_.scratch_size(target_.capacity())),
      lanes_(lane_count(kernel_, query_.capacity()) * query_.channels()),
      norms_(query_.capacity()),
      biases_(biases),
      bias_(target_.capacity()),
      best_(lane_count(kernel_, query_.capacity())) {
  std::fill(bias_.get(), bias_.get() + target_.capacity(), T(0));
}

template <class T>
void Scorer<T>::set_query(int64_t image) {
  const FloatMode mode;
  image_ = image;
  const int64_t regions = query_.size(image), channels = query_.channels();
  const T* rows = query_.rows(image, query_scratch_.get());
  T* out = lanes_.get();
  for (int64_t first = 0; first < regions;) {
    const int64_t width = kernel_.strip_width(regions - first);
    for (int64_t l = 0; l < width; ++l) {
      const T* row = first + l < regions ? rows + (first + l) * channels : nullptr;
      for (int64_t c = 0; c < channels; ++c) out[c * width + l] = row ? row[c] : T(0);
    }
    out += width * channels;
    first += width;
  }
  if (!distance_) return;
  for (int64_t i = 0; i < regions; ++i)
    norms_[i] = static_cast<T>(squared_norm(rows + i * channels, channels));
}

template <class T>
T Scorer<T>::score(int64_t target_image, int64_t next) {
  const FloatMode mode;
  const int64_t regions = query_.size(image_), channels = query_.channels();
  Strip<T> strip;
  strip.lanes = lanes_.get();
  strip.target = target_.rows(target_image, target_scratch_.get());
  if (next >= 0 && target_.scratch_size(1) == 0) strip.upcoming = target_.rows(next, nullptr);
  strip.bias = bias_.get();
  strip.regions = target_.size(target_image);
  strip.channels = channels;
  strip.best = best_.get();
  if (biases_)
    strip.bias = biases_ + target_image * target_.capacity();
  else if (distance_)
    for (int64_t j = 0; j < strip.regions; ++j)
      bias_[j] = static_cast<T>(0.5 * squared_norm(strip.target + j * channels, channels));
  for (int64_t first = 0; first < regions; first += strip.width) {
    strip.lanes += strip.width * channels;
    strip.best += strip.width;
    strip.width = kernel_.strip_width(regions - first);
    kernel_.strip(strip);
    strip.upcoming = nullptr;
  }
  T result;
  reducer_.rows(image_, target_image, 1, norms_.get(), best_.get(), nullptr, 1, &result);
  return result;
}

template Buffer<float> half_norms(const Regions&, Reduction, const Parallel&);
template Buffer<double> half_norms(const Regions&, Reduction, const Parallel&);
template class Scorer<float>;
template class Scorer<double>;

}  // namespace prmac

namespace {

using namespace prmac;

template <class T>
void rerank(const Regions& query, const Regions& target, const int64_t* candidates, int64_t count,
            Reduction reduction, T* scores, const Parallel& parallel) {
  Buffer<T> biases;
  if (query.images * count >= target.images) biases = half_norms<T>(target, reduction, parallel);
  auto make_worker = [&] {
    return [&, scorer = Scorer<T>(query, target, reduction, biases.get())](int64_t q) mutable {
      const T worst = static_cast<T>(higher_is_closer(reduction) ? -INFINITY : INFINITY);
      const int64_t* list = candidates + q * count;
      scorer.set_query(q);
      for (int64_t i = 0; i < count; ++i) {
        const int64_t next = i + 1 < count ? list[i + 1] : -1;
        scores[q * count + i] = list[i] < 0 ? worst : scorer.score(list[i], next);
      }
    };
  };
  run_tasks(parallel, query.images, make_worker);
}

}  // namespace

void pr_mac_rerank(const Regions& query, const Regions& target, const int64_t* candidates, int64_t count,
                   Reduction reduction, void* scores, const Parallel& parallel) {
  check_pair("pr_mac_rerank", query, target);
  check_reduction("pr_mac_rerank", reduction);
  if (count <= 0) return;
  for (int64_t i = 0; i < query.images * count; ++i)
    if (candidates[i] < -1 || candidates[i] >= target.images)
      throw std::invalid_argument("pr_mac_rerank: candidates: expected values in -1.." +
                                  std::to_string(target.images - 1) + ", got " +
                                  std::to_string(candidates[i]));
  if (query.scalar == Scalar::kFloat64)
    rerank(query, target, candidates, count, reduction, static_cast<double*>(scores), parallel);
  else
    rerank(query, target, candidates, count, reduction, static_cast<float*>(scores), parallel);
}

}  // namespace mirror
