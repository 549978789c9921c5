// Gradient of pr_mac through the matched regions:
//   cosine, best   s = sum_i w_i <q_i, t_j>          dq_i += w_i t_j            dt_j += w_i q_i
//   distances      s = f(|q_i - t_j|, ...)           dq_i += w_i (q_i - t_j)    dt_j -= w_i (q_i - t_j)
// with j = argmax of region i. grad_query is parallel over query images and grad_target over target images, each
// summed in rising order of the other set: the same bits for every number of threads.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/pr_mac_check.h"
#include "core/pr_mac_join.h"

namespace mirror {
namespace {

using namespace prmac;

template <class T>
struct Gradient {
  const Regions& query;
  const Regions& target;
  Reduction reduction;
  const T* grad;
  const T* scores;
  const int32_t* argmax;

  const T* row(const Regions& set, int64_t image, int64_t region) const {
    return static_cast<const T*>(set.data) + (image * set.capacity + region) * set.channels;
  }
  static int64_t size(const Regions& set, int64_t image) {
    return set.sizes ? set.sizes[image] : set.capacity;
  }
  const int32_t* match(int64_t q, int64_t t) const {
    return argmax + (q * target.images + t) * query.capacity;
  }

  // <a, b> or |a - b|^2
  T product(const T* a, const T* b) const {
    double sum = 0;
    const bool distance = is_distance(reduction);
    for (int64_t c = 0; c < query.channels; ++c) {
      const double x = a[c], y = b[c];
      sum += distance ? (x - y) * (x - y) : x * y;
    }
    return static_cast<T>(sum);
  }

  // The region that decides `best` and `hausdorff`: the first with the largest product or distance.
  int64_t decisive(int64_t q, int64_t t) const {
    const int32_t* j = match(q, t);
    int64_t region = -1;
    T largest = -std::numeric_limits<T>::infinity();
    for (int64_t i = 0; i < size(query, q); ++i) {
      const T value = product(row(query, q, i), row(target, t, j[i]));
      if (region >= 0 && !(value > largest)) continue;
      largest = value;
      region = i;
    }
    return region;
  }

  // weights [size of q]: w_i above; false where nothing flows.
  bool weights(int64_t q, int64_t t, T* w) const {
    const int64_t regions = size(query, q), pair = q * target.images + t;
    const T g = grad[pair];
    if (g == 0 || regions == 0 || size(target, t) == 0) return false;
    std::fill(w, w + regions, T(0));
    auto over_distance = [&](int64_t i) {
      const T d = std::sqrt(product(row(query, q, i), row(target, t, match(q, t)[i])));
      return d > 0 ? g / d : T(0);
    };
    switch (reduction) {
      case Reduction::kCosine:
        std::fill(w, w + regions, g / static_cast<T>(regions));
        break;
      case Reduction::kSqEuclid:
        std::fill(w, w + regions, 2 * g);
        break;
      case Reduction::kEuclidL2:
        std::fill(w, w + regions, scores[pair] > 0 ? g / scores[pair] : T(0));
        break;
      case Reduction::kEuclidSum:
        for (int64_t i = 0; i < regions; ++i) w[i] = over_distance(i);
        break;
      case Reduction::kBest:
        w[decisive(q, t)] = g;
        break;
      case Reduction::kHausdorff: {
        const int64_t i = decisive(q, t);
        w[i] = over_distance(i);
        break;
      }
    }
    return true;
  }

  // out += w (other) or w (own - other)
  void add(T w, const T* own, const T* other, T* out) const {
    if (is_distance(reduction))
      for (int64_t c = 0; c < query.channels; ++c) out[c] += w * (own[c] - other[c]);
    else
      for (int64_t c = 0; c < query.channels; ++c) out[c] += w * other[c];
  }

  void query_image(int64_t q, T* w, T* out) const {
    for (int64_t t = 0; t < target.images; ++t) {
      if (!weights(q, t, w)) continue;
      const int32_t* j = match(q, t);
      for (int64_t i = 0; i < size(query, q); ++i)
        if (w[i] != 0) add(w[i], row(query, q, i), row(target, t, j[i]), out + i * query.channels);
    }
  }

  void target_image(int64_t t, T* w, T* out) const {
    for (int64_t q = 0; q < query.images; ++q) {
      if (!weights(q, t, w)) continue;
      const int32_t* j = match(q, t);
      for (int64_t i = 0; i < size(query, q); ++i)
        if (w[i] != 0) add(w[i], row(target, t, j[i]), row(query, q, i), out + j[i] * query.channels);
    }
  }
};

void check_argmax(const Regions& query, const Regions& target, const int32_t* argmax) {
  for (int64_t q = 0; q < query.images; ++q)
    for (int64_t t = 0; t < target.images; ++t, argmax += query.capacity) {
      const int64_t regions = query.sizes ? query.sizes[q] : query.capacity;
      const int64_t size = target.sizes ? target.sizes[t] : target.capacity;
      for (int64_t i = 0; i < regions && size > 0; ++i)
        if (argmax[i] < 0 || argmax[i] >= size)
          throw std::invalid_argument("pr_mac_backward: argmax: expected values in 0.." +
                                      std::to_string(size - 1) + ", got " + std::to_string(argmax[i]));
    }
}

template <class T>
void backward(const Gradient<T>& gradient, T* grad_query, T* grad_target, const Parallel& parallel) {
  const int64_t query_step = gradient.query.capacity * gradient.query.channels;
  const int64_t target_step = gradient.target.capacity * gradient.target.channels;
  auto make_worker = [&] {
    return [&, w = Buffer<T>(gradient.query.capacity)](int64_t task) {
      const FloatMode mode;
      const int64_t queries = gradient.query.images;
      if (task < queries) {
        T* out = grad_query + task * query_step;
        std::fill(out, out + query_step, T(0));
        gradient.query_image(task, w.get(), out);
      } else {
        T* out = grad_target + (task - queries) * target_step;
        std::fill(out, out + target_step, T(0));
        gradient.target_image(task - queries, w.get(), out);
      }
    };
  };
  run_tasks(parallel, gradient.query.images + gradient.target.images, make_worker);
}

}  // namespace

void pr_mac_backward(const Regions& query, const Regions& target, Reduction reduction, const void* grad,
                     const void* scores, const int32_t* argmax, void* grad_query, void* grad_target,
                     const Parallel& parallel) {
  check_pair("pr_mac_backward", query, target);
  check_reduction("pr_mac_backward", reduction);
  check_argmax(query, target, argmax);
  if (query.scalar == Scalar::kFloat64)
    backward(Gradient<double>{query, target, reduction, static_cast<const double*>(grad),
                              static_cast<const double*>(scores), argmax},
             static_cast<double*>(grad_query), static_cast<double*>(grad_target), parallel);
  else if (query.scalar == Scalar::kFloat32)
    backward(Gradient<float>{query, target, reduction, static_cast<const float*>(grad),
                             static_cast<const float*>(scores), argmax},
             static_cast<float*>(grad_query), static_cast<float*>(grad_target), parallel);
  else
    throw std::invalid_argument("pr_mac_backward: query: expected float32 or float64, got a 16-bit type");
}

}  // namespace mirror
