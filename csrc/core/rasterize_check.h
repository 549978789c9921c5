// What rasterize refuses: std::invalid_argument with one sentence. The bindings ask for the size before they allocate.
#pragma once

#include <cstdint>
#include <vector>

#include "core/rasterize_setup.h"
#include "mirror/rasterize.h"

namespace mirror {
namespace raster {

void check_size(const char* op, const RasterSize& size);
void check_mesh(const char* op, const Mesh& mesh, const Parallel& parallel);  // touches every face

// All of them ready for work. Touches their values.
std::vector<Camera> cameras_of(const char* op, const Cameras& cameras);

// Element i of an array of float32 or float64.
inline double number(const void* data, Scalar scalar, int64_t i) {
  return scalar == Scalar::kFloat64 ? static_cast<const double*>(data)[i]
                                    : static_cast<double>(static_cast<const float*>(data)[i]);
}

}  // namespace raster
}  // namespace mirror
