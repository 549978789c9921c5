#include "core/pr_mac_launch.h"

namespace mirror {
namespace cuda {

template <>
void launch_tiles(TileWork<Float16> work, bool self, unsigned char* state, Stream stream, const char* op) {
  launch_tensor<Float16, Float16Mma>(work, self, state, stream, op);
}

}  // namespace cuda
}  // namespace mirror
