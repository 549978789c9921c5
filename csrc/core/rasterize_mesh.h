// A mesh as the rasteriser reads it: clusters of faces that lie close together, made once for all views. A view first asks
// which clusters it sees; each of these has its own vertices side by side, so that work on it stays in the nearest cache.
#pragma once

#include <cstdint>
#include <vector>

#include "core/tasks.h"
#include "mirror/rasterize.h"

namespace mirror {
namespace raster {

constexpr int kFaces = 128;            // of a cluster
constexpr int kVertices = 3 * kFaces;  // at most
constexpr int kPadding = 16;           // every array of a cluster is as long as a multiple of it

struct Cluster {
  double middle[3], reach[3];  // the box of its vertices: middle +- reach
  const void* vertices;        // x [vertices], y, z, of the mesh's type
  const uint16_t* corners;     // [3, kFaces]: of face k vertices corners[k], corners[kFaces + k], ...
  const int32_t* ids;          // [kFaces]
  int32_t num_vertices;        // a multiple of kPadding; the last ones repeat another
  int32_t num_faces;           // beyond: faces (0, 0, 0), which own no pixel
};

// Faces with a vertex that is not finite are left out. All indices must be those of vertices.
class Clusters {
 public:
  Clusters(const Mesh& mesh, const Parallel& parallel);
  const std::vector<Cluster>& all() const { return clusters_; }

 private:
  std::vector<Cluster> clusters_;
  std::vector<Buffer<unsigned char>> memory_;
};

}  // namespace raster
}  // namespace mirror
