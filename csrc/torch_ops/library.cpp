// Every torch op of this package, on one screen. Each <op>.cpp registers its CPU kernel, each <op>_cuda.cpp (in the
// library _C_cuda) its CUDA kernel, mirror_ext/_<op>.py its shape rule and gradient. Public names, defaults and
// documentation are in mirror_ext; the meaning of every argument is in csrc/include/mirror/<op>.h.
#include "core/isa.h"
#include "torch_ops/tensor.h"

STABLE_TORCH_LIBRARY(mirror, m) {
  // scores [N, N], [N, M] with `other`, [P] with `pairs`; depth < 0: all features
  m.def(
      "match_kernel(Tensor descriptors, Tensor? sizes, Tensor? other, Tensor? other_sizes, Tensor? pairs, "
      "int depth)"
      " -> Tensor");
  // matches [M, 2] int32, ratios [M, 2] float32, offsets [P + 1] int64
  m.def(
      "mutual_matches(Tensor descriptors, Tensor? sizes, Tensor? other, Tensor? other_sizes, Tensor pairs, "
      "int depth,"
      " float max_ratio, bool exact=True) -> (Tensor, Tensor, Tensor)");
  // evidence [P] float32, good [M] bool
  m.def(
      "similarity_support(Tensor keypoints, Tensor? sizes, Tensor diagonals, Tensor pairs, Tensor matches,"
      " Tensor ratios, Tensor offsets, Tensor? other, Tensor? other_sizes, Tensor? other_diagonals, float "
      "near,"
      " float far, float tolerance, float min_share, float min_support, float weak) -> (Tensor, Tensor)");
  // scores [Q, T], argmax [Q, T, R] int32 ([Q, T, 0] unless with_argmax)
  m.def(
      "pr_mac(Tensor query, Tensor? target, Tensor? query_sizes, Tensor? target_sizes, str reduction, str "
      "precision,"
      " bool with_argmax) -> (Tensor, Tensor)");
  // grad_query, grad_target
  m.def(
      "pr_mac_backward(Tensor grad, Tensor query, Tensor target, Tensor? query_sizes, Tensor? target_sizes,"
      " Tensor scores, Tensor argmax, str reduction) -> (Tensor, Tensor)");
  // values [Q, k], indices [Q, k] int64
  m.def(
      "pr_mac_topk(Tensor query, Tensor? target, Tensor? query_sizes, Tensor? target_sizes, int k, str "
      "reduction,"
      " str precision, int margin, bool certified) -> (Tensor, Tensor)");
  // scores [Q, K]
  m.def(
      "pr_mac_rerank(Tensor query, Tensor target, Tensor candidates, Tensor? query_sizes, Tensor? "
      "target_sizes,"
      " str reduction) -> Tensor");
  // pooled [B, R, C], argmax [B, R, C] int32 ([B, R, 0] unless with_argmax)
  m.def("region_max_pool(Tensor features, Tensor boxes, bool with_argmax) -> (Tensor, Tensor)");
  // pooled [B, C], argmax [B, C] int32 ([B, 0] unless with_argmax)
  m.def("masked_max_pool(Tensor features, Tensor mask, bool with_argmax) -> (Tensor, Tensor)");
  // Gradient of both: grad and argmax [B, R, C] -> grad_features, of the type of grad and the shape of features; channels
  // side by side (channels_last) where they are so in features
  m.def("max_pool_backward(Tensor grad, Tensor features, Tensor argmax) -> Tensor");
  // bitsets [N, words] int64, counts [N] int64
  m.def("visible_triangles(Tensor triangle_ids, int num_faces, int min_pixels) -> (Tensor, Tensor)");
  // [N, N] int32; float64 with weights
  m.def("shared_triangles(Tensor bitsets, Tensor? weights) -> Tensor");
  // coverage [P, 2, rows, columns], [P, rows, columns] if directed
  m.def(
      "overlap_masks(Tensor triangle_ids, Tensor bitsets, Tensor pairs, int rows, int columns, bool directed)"
      " -> Tensor");
  // order [F] int32
  m.def("morton_order(Tensor vertices, Tensor faces) -> Tensor");
  // triangle_ids [N, H, W] int32, depth [N, H, W] float32, barycentrics [N, H, W, 2] float32 ([N, H, W, 0] unless asked for);
  // near [N] float64
  m.def(
      "rasterize(Tensor vertices, Tensor faces, Tensor cam_from_world, Tensor intrinsics, int height, int "
      "width, "
      "Tensor near, bool cull, bool barycentrics) -> (Tensor, Tensor, Tensor)");
  // bitsets [N, words] int64, counts [N] int64
  m.def(
      "rasterize_visible(Tensor vertices, Tensor faces, Tensor cam_from_world, Tensor intrinsics, int "
      "height, "
      "int width, Tensor near, bool cull, int min_pixels) -> (Tensor, Tensor)");
  // Instruction sets: the highest of this machine, and the one MIRROR_ISA selects.
  m.def("isa_available() -> str");
  m.def("isa_selected() -> str");
}

namespace mirror::torch_ops {
namespace {
std::string isa_available() { return isa_name(mirror::isa_available()); }
std::string isa_selected() { return isa_name(mirror::isa_selected()); }
}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CompositeExplicitAutograd, m) {
  m.impl("isa_available", TORCH_BOX(&mirror::torch_ops::isa_available));
  m.impl("isa_selected", TORCH_BOX(&mirror::torch_ops::isa_selected));
}
