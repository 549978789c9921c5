#include "core/rasterize_avx2_lanes.h"
#include "core/rasterize_draw.h"

namespace mirror {
namespace raster {

Kernels avx2_kernels() { return {draw<Avx2>, invert<Avx2>}; }

}  // namespace raster
}  // namespace mirror
