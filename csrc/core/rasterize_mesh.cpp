#include "core/rasterize_mesh.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/float_mode.h"

namespace mirror {
namespace raster {
namespace {

constexpr int64_t kPiece = 1 << 15;  // vertices or faces of a task
constexpr int kAxisBits = 10;        // of each coordinate on the Morton curve
constexpr uint32_t kNowhere = 1u << (3 * kAxisBits);
constexpr int kDigitBits = 11;  // three digits hold the curve and kNowhere
constexpr int kDigits = 1 << kDigitBits;

// work(begin, end, task) on pieces of [0, count).
template <class Work>
void in_pieces(const Parallel& parallel, int64_t count, int64_t piece, const Work& work) {
  run_tasks(parallel, (count + piece - 1) / piece, [&] {
    return [&](int64_t task) {
      const FloatMode mode;
      work(task * piece, std::min(count, (task + 1) * piece), task);
    };
  });
}

struct Box {
  double low[3], high[3];
};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Box kNothing = {{kInfinity, kInfinity, kInfinity}, {-kInfinity, -kInfinity, -kInfinity}};

void extend(Box& box, const Box& other) {
  for (int k = 0; k < 3; ++k) {
    box.low[k] = std::min(box.low[k], other.low[k]);
    box.high[k] = std::max(box.high[k], other.high[k]);
  }
}

// Of all finite coordinates.
template <class T>
Box bounds(const T* vertices, int64_t count, const Parallel& parallel) {
  constexpr T kLargest = std::numeric_limits<T>::max();
  std::vector<Box> boxes(static_cast<size_t>((count + kPiece - 1) / kPiece), kNothing);
  in_pieces(parallel, count, kPiece, [&](int64_t begin, int64_t end, int64_t task) {
    T low[3] = {kLargest, kLargest, kLargest}, high[3] = {-kLargest, -kLargest, -kLargest};
    for (int64_t i = begin; i < end; ++i)
      for (int k = 0; k < 3; ++k) {
        const T x = vertices[3 * i + k];
        low[k] = x < low[k] && x >= -kLargest ? x : low[k];
        high[k] = x > high[k] && x <= kLargest ? x : high[k];
      }
    for (int k = 0; k < 3; ++k)
      if (low[k] <= high[k])
        boxes[static_cast<size_t>(task)].low[k] = low[k], boxes[static_cast<size_t>(task)].high[k] = high[k];
  });
  Box all = kNothing;
  for (const Box& box : boxes) extend(all, box);
  return all;
}

// Two zeros after each of the lowest ten bits.
uint32_t spread(uint32_t x) {
  x = (x | x << 16) & 0x030000ffu;
  x = (x | x << 8) & 0x0300f00fu;
  x = (x | x << 4) & 0x030c30c3u;
  return (x | x << 2) & 0x09249249u;
}

// place on the curve << 32 | face; kNowhere for faces that are not finite. The order changes no result, only the time.
template <class T>
void set_keys(const Mesh& mesh, const Box& box, uint64_t* keys, const Parallel& parallel) {
  const T* const vertices = static_cast<const T*>(mesh.vertices);
  double side = 0;
  for (int k = 0; k < 3; ++k) side = std::max(side, box.high[k] - box.low[k]);
  const double cells = (1 << kAxisBits) - 1;
  const T scale = side > 0 && side < 1e300 ? static_cast<T>(std::min(cells / side / 3, 1e30)) : T(0);
  const T low[3] = {static_cast<T>(box.low[0]), static_cast<T>(box.low[1]), static_cast<T>(box.low[2])};
  in_pieces(parallel, mesh.num_faces, kPiece, [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t face = begin; face < end; ++face) {
      const int32_t* const f = mesh.faces + 3 * face;
      const T *const p = vertices + 3 * int64_t{f[0]}, *const q = vertices + 3 * int64_t{f[1]},
                     *const r = vertices + 3 * int64_t{f[2]};
      uint32_t place = 0;
      T zeros = 0;  // NaN where a coordinate is not finite
      for (int k = 0; k < 3; ++k) {
        const T cell = ((p[k] - low[k]) + (q[k] - low[k]) + (r[k] - low[k])) * scale;
        zeros += (p[k] - p[k]) + (q[k] - q[k]) + (r[k] - r[k]);
        place |= spread(cell >= 0 && cell <= T(cells) ? static_cast<uint32_t>(cell) : 0) << k;
      }
      keys[face] = static_cast<uint64_t>(zeros == 0 ? place : kNowhere) << 32 | static_cast<uint32_t>(face);
    }
  });
}

// Sorts by place: three stable passes, each in pieces that know where their own keys go.
void sort_keys(Buffer<uint64_t>& keys, int64_t count, const Parallel& parallel) {
  Buffer<uint64_t> other(count);
  const int64_t piece = std::max<int64_t>(kPiece, (count + 15) / 16);
  const int64_t pieces = (count + piece - 1) / piece;
  std::vector<std::array<int64_t, kDigits>> starts(static_cast<size_t>(pieces));
  for (int shift = 32; shift < 32 + 3 * kDigitBits; shift += kDigitBits) {
    const auto digit = [shift](uint64_t key) { return key >> shift & (kDigits - 1); };
    in_pieces(parallel, count, piece, [&](int64_t begin, int64_t end, int64_t task) {
      std::array<int64_t, kDigits>& counts = starts[static_cast<size_t>(task)];
      counts.fill(0);
      for (int64_t i = begin; i < end; ++i) ++counts[digit(keys[i])];
    });
    int64_t place = 0;
    for (int d = 0; d < kDigits; ++d)
      for (auto& start : starts) place += std::exchange(start[d], place);
    in_pieces(parallel, count, piece, [&](int64_t begin, int64_t end, int64_t task) {
      std::array<int64_t, kDigits>& places = starts[static_cast<size_t>(task)];
      for (int64_t i = begin; i < end; ++i) other[places[digit(keys[i])]++] = keys[i];
    });
    std::swap(keys, other);
  }
}

// ---- clusters --------------------------------------------------------------------------------------------------------

constexpr int64_t kClustersOfTask = 64;

// The vertices of one cluster, each once: which they are, and the number that each has there.
class VertexNumbers {
 public:
  void clear() { slots_.fill(-1), count = 0; }
  uint16_t number(int32_t vertex, int32_t* vertices) {
    uint32_t slot = static_cast<uint32_t>(vertex) * 0x9e3779b1u >> (32 - kBits);
    while (slots_[slot] >= 0 && vertices[slots_[slot]] != vertex) slot = (slot + 1) & ((1u << kBits) - 1);
    if (slots_[slot] < 0) {
      slots_[slot] = static_cast<int16_t>(count);
      vertices[count++] = vertex;
    }
    return static_cast<uint16_t>(slots_[slot]);
  }
  int count = 0;

 private:
  static constexpr int kBits = 10;  // more than twice kVertices
  std::array<int16_t, 1 << kBits> slots_;
};

constexpr int64_t padded(int64_t count) { return (count + kPadding - 1) / kPadding * kPadding; }

template <class T>
class Builder {
 public:
  Builder(const Mesh& mesh, const uint64_t* order, int64_t faces)
      : mesh_(mesh), order_(order), faces_(faces), indices_(kClustersOfTask * kVertices) {}

  // Clusters first..last-1, in memory of their own.
  Buffer<unsigned char> operator()(int64_t first, int64_t last, Cluster* clusters) {
    constexpr int64_t kFaceBytes = kFaces * (3 * sizeof(uint16_t) + sizeof(int32_t));
    int64_t bytes = 0;
    std::vector<uint16_t> corners(static_cast<size_t>((last - first) * 3 * kFaces), 0);
    for (int64_t c = first; c < last; ++c) {
      number_vertices(c, clusters[c], corners.data() + (c - first) * 3 * kFaces,
                      indices_.get() + (c - first) * kVertices);
      bytes += 3 * clusters[c].num_vertices * static_cast<int64_t>(sizeof(T)) + kFaceBytes;
    }
    Buffer<unsigned char> memory(bytes);
    unsigned char* at = memory.get();
    for (int64_t c = first; c < last; ++c) {
      fill(c, clusters[c], corners.data() + (c - first) * 3 * kFaces,
           indices_.get() + (c - first) * kVertices, at);
      at += 3 * clusters[c].num_vertices * static_cast<int64_t>(sizeof(T)) + kFaceBytes;
    }
    return memory;
  }

 private:
  int32_t face(int64_t k) const { return static_cast<int32_t>(order_[k] & 0xffffffffu); }

  void number_vertices(int64_t c, Cluster& cluster, uint16_t* corners, int32_t* indices) {
    numbers_.clear();
    cluster.num_faces = static_cast<int32_t>(std::min<int64_t>(kFaces, faces_ - c * kFaces));
    for (int k = 0; k < cluster.num_faces; ++k)
      for (int side = 0; side < 3; ++side)
        corners[side * kFaces + k] =
            numbers_.number(mesh_.faces[3 * int64_t{face(c * kFaces + k)} + side], indices);
    cluster.num_vertices = static_cast<int32_t>(padded(numbers_.count));
    std::fill(indices + numbers_.count, indices + cluster.num_vertices, indices[0]);
  }

  void fill(int64_t c, Cluster& cluster, const uint16_t* corners, const int32_t* indices,
            unsigned char* memory) const {
    const T* const vertices = static_cast<const T*>(mesh_.vertices);
    T* const own = reinterpret_cast<T*>(memory);
    const int64_t count = cluster.num_vertices;
    for (int64_t v = 0; v < count; ++v)
      for (int k = 0; k < 3; ++k) own[k * count + v] = vertices[3 * int64_t{indices[v]} + k];
    for (int k = 0; k < 3; ++k) {
      T low = own[k * count], high = low;
      for (int64_t v = 0; v < count; ++v)
        low = std::min(low, own[k * count + v]), high = std::max(high, own[k * count + v]);
      cluster.middle[k] = 0.5 * low + 0.5 * high;
      cluster.reach[k] = 0.5 * high - 0.5 * low;
    }
    uint16_t* const own_corners = reinterpret_cast<uint16_t*>(own + 3 * count);
    std::copy(corners, corners + 3 * kFaces, own_corners);
    int32_t* const ids = reinterpret_cast<int32_t*>(own_corners + 3 * kFaces);
    for (int k = 0; k < kFaces; ++k) ids[k] = k < cluster.num_faces ? face(c * kFaces + k) : -1;
    cluster.vertices = own, cluster.corners = own_corners, cluster.ids = ids;
  }

  const Mesh& mesh_;
  const uint64_t* order_;
  int64_t faces_;
  Buffer<int32_t> indices_;
  VertexNumbers numbers_;
};

template <class T>
void build(const Mesh& mesh, std::vector<Cluster>& clusters, std::vector<Buffer<unsigned char>>& memory,
           const Parallel& parallel) {
  Buffer<uint64_t> keys(mesh.num_faces);
  const Box box = bounds(static_cast<const T*>(mesh.vertices), mesh.num_vertices, parallel);
  set_keys<T>(mesh, box, keys.get(), parallel);
  sort_keys(keys, mesh.num_faces, parallel);
  const int64_t faces =
      std::lower_bound(keys.get(), keys.get() + mesh.num_faces, uint64_t{kNowhere} << 32) - keys.get();
  clusters.resize(static_cast<size_t>((faces + kFaces - 1) / kFaces));
  const int64_t count = static_cast<int64_t>(clusters.size());
  const int64_t tasks = (count + kClustersOfTask - 1) / kClustersOfTask;
  for (int64_t task = 0; task < tasks; ++task) memory.emplace_back();
  run_tasks(parallel, tasks, [&] {
    return [&, builder = Builder<T>(mesh, keys.get(), faces)](int64_t task) mutable {
      const FloatMode mode;
      memory[static_cast<size_t>(task)] =
          builder(task * kClustersOfTask, std::min(count, (task + 1) * kClustersOfTask), clusters.data());
    };
  });
}

}  // namespace

Clusters::Clusters(const Mesh& mesh, const Parallel& parallel) {
  if (mesh.num_faces == 0) return;
  if (mesh.scalar == Scalar::kFloat64)
    build<double>(mesh, clusters_, memory_, parallel);
  else
    build<float>(mesh, clusters_, memory_, parallel);
}

}  // namespace raster
}  // namespace mirror
