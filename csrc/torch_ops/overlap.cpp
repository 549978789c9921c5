#include "mirror/overlap.h"

#include <tuple>

#include "core/overlap_check.h"
#include "torch_ops/arguments.h"

namespace mirror::torch_ops {
namespace {

std::tuple<Tensor, Tensor> visible_triangles(const Tensor& triangle_ids, int64_t num_faces,
                                             int64_t min_pixels) {
  constexpr const char* op = "visible_triangles";
  Inputs in(op, triangle_ids);
  const IdMaps maps = bindings::id_maps(op, in("triangle_ids", triangle_ids));
  overlap::check_visible(op, num_faces, min_pixels);
  const Tensor bitsets = make(triangle_ids, {maps.views, words_of(num_faces)}, ScalarType::Long);
  const Tensor counts = make(triangle_ids, {maps.views}, ScalarType::Long);
  mirror::visible_triangles(maps, num_faces, min_pixels, data<uint64_t>(bitsets), data<int64_t>(counts),
                            torch_threads());
  return {bitsets, counts};
}

Tensor shared_triangles(const Tensor& bitsets, const OptionalTensor& weights) {
  constexpr const char* op = "shared_triangles";
  Inputs in(op, bitsets);
  const Bitsets sets = bindings::bitsets_of(op, in("bitsets", bitsets));
  const std::optional<Array> given = in("weights", weights);
  const Tensor shared = make(bitsets, {sets.views, sets.views}, given ? ScalarType::Double : ScalarType::Int);
  if (given)
    mirror::shared_weights(sets, bindings::weights_of(*given), data<double>(shared), torch_threads());
  else
    mirror::shared_triangles(sets, data<int32_t>(shared), torch_threads());
  return shared;
}

Tensor overlap_masks(const Tensor& triangle_ids, const Tensor& bitsets, const Tensor& pairs, int64_t rows,
                     int64_t columns, bool directed) {
  Inputs in("overlap_masks", triangle_ids);
  const bindings::MaskArguments args = bindings::mask_arguments(
      in("triangle_ids", triangle_ids), in("bitsets", bitsets), in("pairs", pairs), rows, columns, directed);
  const int64_t count = args.pairs.count;
  const Tensor coverage = directed ? make(triangle_ids, {count, rows, columns}, ScalarType::Float)
                                   : make(triangle_ids, {count, 2, rows, columns}, ScalarType::Float);
  mirror::overlap_masks(args.maps, args.sets, args.pairs, args.grid, data<float>(coverage), torch_threads());
  return coverage;
}

Tensor morton_order(const Tensor& vertices, const Tensor& faces) {
  constexpr const char* op = "morton_order";
  Inputs in(op, vertices);
  const bindings::MeshArguments mesh =
      bindings::mesh_arguments(op, in("vertices", vertices), in("faces", faces));
  const Tensor order = make(vertices, {mesh.num_faces}, ScalarType::Int);
  mirror::morton_order(mesh.vertices, mesh.scalar, mesh.num_vertices, mesh.faces, mesh.num_faces,
                       data<int32_t>(order), torch_threads());
  return order;
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CPU, m) {
  m.impl("visible_triangles", TORCH_BOX(&mirror::torch_ops::visible_triangles));
  m.impl("shared_triangles", TORCH_BOX(&mirror::torch_ops::shared_triangles));
  m.impl("overlap_masks", TORCH_BOX(&mirror::torch_ops::overlap_masks));
  m.impl("morton_order", TORCH_BOX(&mirror::torch_ops::morton_order));
}
