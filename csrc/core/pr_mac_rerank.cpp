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
Scorer<T>::Scorer(const Regions& query, const Regions& target, Reduction reduction)
    : query_(query, false),
      target_(target, false),
      reducer_(query_, target_, reduction),
      kernel_(select_kernel<T>(Precision::kExact)),
      distance_(is_distance(reduction)),
      query_scratch_(query_.scratch_size(query_.capacity())),
      target_scratch_(target_.scratch_size(target_.capacity())),
      lanes_(lane_count(kernel_, query_.capacity()) * query_.channels()),
      norms_(query_.capacity()),
      bias_(target_.capacity()),
      best_(lane_count(kernel_, query_.capacity())) {
  std::fill(bias_.get(), bias_.get() + target_.capacity(), T(0));
}

template <class T>
void Scorer<T>::set_query(int64_t image) {
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
  for (int64_t i = 0; i < regions; ++i) norms_[i] = static_cast<T>(squared_norm(rows + i * channels, channels));
}

template <class T>
T Scorer<T>::score(int64_t target_image) {
  const int64_t regions = query_.size(image_), channels = query_.channels();
  Strip<T> strip;
  strip.lanes = lanes_.get();
  strip.target = target_.rows(target_image, target_scratch_.get());
  strip.bias = bias_.get();
  strip.regions = target_.size(target_image);
  strip.channels = channels;
  strip.best = best_.get();
  if (distance_)
    for (int64_t j = 0; j < strip.regions; ++j)
      bias_[j] = static_cast<T>(0.5 * squared_norm(strip.target + j * channels, channels));
  for (int64_t first = 0; first < regions; first += strip.width) {
    strip.lanes += strip.width * channels;
    strip.best += strip.width;
    strip.width = kernel_.strip_width(regions - first);
    kernel_.strip(strip);
  }
  T result;
  reducer_.rows(image_, target_image, 1, norms_.get(), best_.get(), nullptr, 1, &result);
  return result;
}

template <class T>
void Scorer<T>::prefetch(int64_t target_image) const {
  if (target_.scratch_size(1) != 0) return;
  const char* data = reinterpret_cast<const char*>(target_.rows(target_image, nullptr));
  const int64_t bytes = target_.size(target_image) * target_.channels() * static_cast<int64_t>(sizeof(T));
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(data + i, 0, 2);
}

template class Scorer<float>;
template class Scorer<double>;

}  // namespace prmac

namespace {

using namespace prmac;

template <class T>
void rerank(const Regions& query, const Regions& target, const int64_t* candidates, int64_t count,
            Reduction reduction, T* scores, const Parallel& parallel) {
  auto make_worker = [&] {
    return [&, scorer = Scorer<T>(query, target, reduction)](int64_t q) mutable {
      const T worst = static_cast<T>(higher_is_closer(reduction) ? -INFINITY : INFINITY);
      const int64_t* list = candidates + q * count;
      scorer.set_query(q);
      for (int64_t i = 0; i < count; ++i) {
        if (i + 1 < count && list[i + 1] >= 0) scorer.prefetch(list[i + 1]);
        scores[q * count + i] = list[i] < 0 ? worst : scorer.score(list[i]);
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
                                  std::to_string(target.images - 1) + ", got " + std::to_string(candidates[i]));
  if (query.scalar == Scalar::kFloat64)
    rerank(query, target, candidates, count, reduction, static_cast<double*>(scores), parallel);
  else
    rerank(query, target, candidates, count, reduction, static_cast<float*>(scores), parallel);
}

}  // namespace mirror
