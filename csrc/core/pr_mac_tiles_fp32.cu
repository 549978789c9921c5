#include "core/pr_mac_launch.h"

namespace mirror {
namespace cuda {

template <>
void launch_tiles(TileWork<float> work, bool self, unsigned char* state, Stream stream, const char* op) {
  if (work.argmax != nullptr)
    launch_engine<FloatEngine, false, true>(work, state, stream, op);
  else if (self)
    launch_engine<FloatEngine, true, false>(work, state, stream, op);
  else
    launch_engine<FloatEngine, false, false>(work, state, stream, op);
}

}  // namespace cuda
}  // namespace mirror
