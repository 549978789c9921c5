// The two halves of pooling.cpp.
#pragma once

#include "core/pooling_kernels.h"

namespace mirror {
namespace pooling {

template <class T>
void pool_regions(const Kernels<T>& kernels, const FeatureMaps& features, const std::vector<Box>& boxes,
                  void* pooled, int32_t* argmax, const Parallel& parallel);

template <class T>
void pool_masks(const Kernels<T>& kernels, const FeatureMaps& features, const uint8_t* mask, void* pooled,
                int32_t* argmax, const Parallel& parallel);

}  // namespace pooling
}  // namespace mirror
