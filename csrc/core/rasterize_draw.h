// Drawing a cluster, for one kind of lanes. Every lane does what rasterize_setup.h says, bit by bit: integers are exact, and
// floating-point operations are the same ones in the same order.
//
//   transform   lane = vertex    float64 to 1/4096 pixels
//   cull        lane = face      those whose box holds a pixel centre of the tile move together
//   set up      lane = face      edges and plane
//   fill        lane = pixel     one face after the other, row by row
#pragma once

#include <initializer_list>

#include "core/rasterize_kernels.h"

namespace mirror {
namespace raster {

constexpr int32_t kHalfPixel = kSubpixels / 2;

// What fill reads of a face, one array for each number.
template <int kLanes>
struct alignas(64) Faces {
  int32_t x0[kLanes], y0[kLanes], x1[kLanes], y1[kLanes];  // the box within the tile
  int32_t a[3][kLanes], b[3][kLanes], c[3][kLanes];        // edges; c at pixel (x0, y0)
  float w[kLanes], gx[kLanes], gy[kLanes], low[kLanes], high[kLanes];
  int32_t dx[kLanes], dy[kLanes];  // from where w is to (x0, y0)
  float first[kLanes];             // inverse depth at (x0, y0)
  int32_t id[kLanes];
};

template <class V>
class Drawing {
  using I = typename V::I;
  using F = typename V::F;
  using D = typename V::D;
  using M = typename V::M;
  static constexpr int kLanes = V::kLanes;

 public:
  Drawing(const View& view, const Tile& tile, Scratch& scratch) : view_(view), tile_(tile), s_(scratch) {}

  void operator()(const Cluster& cluster) {
    const bool all_inside =
        view_.mesh->scalar == Scalar::kFloat64
            ? transform(static_cast<const double*>(cluster.vertices), cluster.num_vertices)
            : transform(static_cast<const float*>(cluster.vertices), cluster.num_vertices);
    const int count = cull(cluster, all_inside);
    for (int k = 0; k < count; k += kLanes) {
      const unsigned lanes = count - k < kLanes ? (1u << (count - k)) - 1 : V::kAll;
      fill(set_up(k, lanes));
    }
  }

 private:
  template <class T>
  bool transform(const T* vertices, int count) {
    const Camera& camera = view_.camera;
    const double *const m = camera.m, *const c = camera.c;
    bool all = true;
    for (int i = 0; i < count; i += V::kHalf) {
      const D x = V::sub(V::load_double(vertices + i), V::set(c[0]));
      const D y = V::sub(V::load_double(vertices + count + i), V::set(c[1]));
      const D z = V::sub(V::load_double(vertices + 2 * count + i), V::set(c[2]));
      const auto row = [&](const double* r) {
        return V::add(V::add(V::mul(V::set(r[0]), x), V::mul(V::set(r[1]), y)), V::mul(V::set(r[2]), z));
      };
      const D u = row(m), v = row(m + 3), depth = row(m + 6);
      const D reach = V::mul(V::set(kGuard), depth);
      const auto deep = V::both(V::at_most(V::set(camera.near), depth), V::at_most(depth, V::set(kFar)));
      const auto in = V::both(deep, V::both(V::at_most(V::abs(u), reach), V::at_most(V::abs(v), reach)));
      all &= V::every(in);
      const D w = V::div(V::set(1.0), depth), fine = V::set(double{kSubpixels});
      V::store_rounded(s_.x + i, V::keep(in, V::mul(V::mul(u, w), fine)));
      V::store_rounded(s_.y + i, V::keep(in, V::mul(V::mul(v, w), fine)));
      V::store_float(s_.w + i, V::keep(in, w));
    }
    return all;
  }

  // Pixels whose centres lie within low..high.
  static I first_pixel(I low) {
    return V::template shift<kSubpixelBits>(V::add(low, V::set(kHalfPixel - 1)));
  }
  static I last_pixel(I high) { return V::template shift<kSubpixelBits>(V::sub(high, V::set(kHalfPixel))); }

  int cull(const Cluster& cluster, bool all_inside) {
    const I x0 = V::set(tile_.x0), y0 = V::set(tile_.y0), x1 = V::set(tile_.x1), y1 = V::set(tile_.y1);
    const I small = V::set(kSmall << kSubpixelBits);
    int count = 0;
    for (int k = 0; k < cluster.num_faces; k += kLanes) {
      const I p = V::load_short(cluster.corners + k), q = V::load_short(cluster.corners + kFaces + k),
              r = V::load_short(cluster.corners + 2 * kFaces + k);
      const I px = V::gather(s_.x, p), qx = V::gather(s_.x, q), rx = V::gather(s_.x, r);
      const I py = V::gather(s_.y, p), qy = V::gather(s_.y, q), ry = V::gather(s_.y, r);
      const I left = V::min(px, V::min(qx, rx)), right = V::max(px, V::max(qx, rx));
      const I top = V::min(py, V::min(qy, ry)), bottom = V::max(py, V::max(qy, ry));
      const I i0 = V::max(first_pixel(left), x0), i1 = V::min(last_pixel(right), x1);
      const I j0 = V::max(first_pixel(top), y0), j1 = V::min(last_pixel(bottom), y1);
      unsigned kept = V::bits(V::less(i1, i0)) | V::bits(V::less(j1, j0));
      kept = ~kept & V::kAll;
      if (cluster.num_faces - k < kLanes) kept &= (1u << (cluster.num_faces - k)) - 1;
      unsigned large = kept & (V::bits(V::less(small, V::sub(right, left))) |
                               V::bits(V::less(small, V::sub(bottom, top))));
      if (!all_inside) {
        const F least = V::min(V::gather(s_.w, p), V::min(V::gather(s_.w, q), V::gather(s_.w, r)));
        const unsigned outside = V::bits(V::less(least, V::set(1e-37f))) & whole(cluster, k);
        kept &= ~outside, large |= outside;
      }
      kept &= ~large;
      for (; large != 0; large &= large - 1) draw_face(view_, tile_, cluster.ids[k + __builtin_ctz(large)]);
      if (kept == 0) continue;
      const auto move = V::moving(kept);
      V::store(s_.px + count, V::together(px, move)), V::store(s_.py + count, V::together(py, move));
      V::store(s_.qx + count, V::together(qx, move)), V::store(s_.qy + count, V::together(qy, move));
      V::store(s_.rx + count, V::together(rx, move)), V::store(s_.ry + count, V::together(ry, move));
      V::store(s_.p + count, V::together(p, move)), V::store(s_.q + count, V::together(q, move));
      V::store(s_.r + count, V::together(r, move));
      V::store(s_.ids + count, V::together(V::load(cluster.ids + k), move));
      count += __builtin_popcount(kept);
    }
    for (int32_t* end : {s_.px, s_.py, s_.qx, s_.qy, s_.rx, s_.ry, s_.p, s_.q, s_.r, s_.ids})
      V::store(end + count, V::set(0));  // the lanes of the last group that hold no face
    return count;
  }

  // The lanes that hold a face.
  static unsigned whole(const Cluster& cluster, int k) {
    return cluster.num_faces - k < kLanes ? (1u << (cluster.num_faces - k)) - 1 : V::kAll;
  }

  struct Corners {
    I x, y;
    F w;
  };
  static Corners select(M which, const Corners& yes, const Corners& no) {
    return {V::select(which, yes.x, no.x), V::select(which, yes.y, no.y), V::select(which, yes.w, no.w)};
  }
  static M left_of(const Corners& p, const Corners& q) {
    return V::either(V::less(p.x, q.x), V::both(V::equal(p.x, q.x), V::less(p.y, q.y)));
  }

  struct Three {
    Corners p, q, r;
    D areas[2];  // doubled, of each half of the lanes; of either sign
  };

  // Faces k.. of those that moved together.
  Three load(int k) const {
    Three f{{V::load(s_.px + k), V::load(s_.py + k), V::gather(s_.w, V::load(s_.p + k))},
            {V::load(s_.qx + k), V::load(s_.qy + k), V::gather(s_.w, V::load(s_.q + k))},
            {V::load(s_.rx + k), V::load(s_.ry + k), V::gather(s_.w, V::load(s_.r + k))},
            {}};
    const I qx = V::sub(f.q.x, f.p.x), qy = V::sub(f.q.y, f.p.y);
    const I rx = V::sub(f.r.x, f.p.x), ry = V::sub(f.r.y, f.p.y);
    for (int half = 0; half < 2; ++half)
      f.areas[half] = V::sub(V::mul(V::to_double(qx, half), V::to_double(ry, half)),
                             V::mul(V::to_double(qy, half), V::to_double(rx, half)));
    return f;
  }

  // Corners in the order of set_up() in rasterize_setup.h; the lanes whose area is not zero, and that are not culled.
  unsigned orient(Three& f) const {
    const F area = V::to_float(f.areas[0], f.areas[1]);
    const M turned = V::less(area, V::set(0.f));
    const Corners p = f.p, q = select(turned, f.r, f.q), r = select(turned, f.q, f.r);
    const M pq = left_of(p, q), qr = left_of(q, r), rp = left_of(r, p);
    const M from_q = V::but_not(qr, pq), from_r = V::but_not(rp, qr);  // which of them is leftmost
    f.p = select(from_q, q, select(from_r, r, p));
    f.q = select(from_q, r, select(from_r, p, q));
    f.r = select(from_q, p, select(from_r, q, r));
    const unsigned some = ~V::bits(V::equal(area, V::set(0.f)));
    return view_.cull ? some & V::bits(turned) : some;
  }

  struct Boxes {
    I x0, y0, x1, y1;  // within the picture
    I i0, j0, i1, j1;  // and within the tile
  };
  Boxes boxes(const Three& f) const {
    const I left = V::min(f.p.x, V::min(f.q.x, f.r.x)), right = V::max(f.p.x, V::max(f.q.x, f.r.x));
    const I top = V::min(f.p.y, V::min(f.q.y, f.r.y)), bottom = V::max(f.p.y, V::max(f.q.y, f.r.y));
    Boxes b;
    b.x0 = V::max(first_pixel(left), V::set(0)), b.x1 = V::min(last_pixel(right), V::set(view_.width - 1));
    b.y0 = V::max(first_pixel(top), V::set(0)), b.y1 = V::min(last_pixel(bottom), V::set(view_.height - 1));
    b.i0 = V::max(b.x0, V::set(tile_.x0)), b.i1 = V::min(b.x1, V::set(tile_.x1));
    b.j0 = V::max(b.y0, V::set(tile_.y0)), b.j1 = V::min(b.y1, V::set(tile_.y1));
    return b;
  }

  static I centre(I pixel) { return V::add(V::template grow<kSubpixelBits>(pixel), V::set(kHalfPixel)); }

  // Edge e, at the centre of the box's first pixel.
  I set_edge(int e, const Corners& from, const Corners& to, const Boxes& box) {
    const I zero = V::set(0), a = V::sub(from.y, to.y), b = V::sub(to.x, from.x);
    const M owns = V::either(V::less(zero, a), V::both(V::equal(a, zero), V::less(zero, b)));
    const I c = V::edge(a, V::sub(centre(box.i0), from.x), b, V::sub(centre(box.j0), from.y),
                        V::select(owns, zero, V::set(1)));
    V::store(f_.a[e], a), V::store(f_.b[e], b), V::store(f_.c[e], c);
    return c;
  }

  void set_plane(const Three& f, const Boxes& box) {
    const I qx = V::sub(f.q.x, f.p.x), qy = V::sub(f.q.y, f.p.y);
    const I rx = V::sub(f.r.x, f.p.x), ry = V::sub(f.r.y, f.p.y);
    D gx[2], gy[2], w[2];
    for (int half = 0; half < 2; ++half) {
      const auto wide = [half](auto x) { return V::to_double(x, half); };
      const D qw = V::sub(wide(f.q.w), wide(f.p.w)), rw = V::sub(wide(f.r.w), wide(f.p.w));
      const D scale = V::div(V::set(double{kSubpixels}), V::abs(f.areas[half]));
      gx[half] = V::mul(V::sub(V::mul(qw, wide(ry)), V::mul(rw, wide(qy))), scale);
      gy[half] = V::mul(V::sub(V::mul(rw, wide(qx)), V::mul(qw, wide(rx))), scale);
    }
    const F step_x = V::to_float(gx[0], gx[1]), step_y = V::to_float(gy[0], gy[1]);
    const I x = V::select(V::less(step_x, V::set(0.f)), box.x1, box.x0);
    const I y = V::select(V::less(step_y, V::set(0.f)), box.y1, box.y0);
    const I ox = V::sub(centre(x), f.p.x), oy = V::sub(centre(y), f.p.y);
    for (int half = 0; half < 2; ++half) {
      const D pixel = V::set(1.0 / kSubpixels);
      const D across = V::mul(gx[half], V::mul(V::to_double(ox, half), pixel));
      const D down = V::mul(gy[half], V::mul(V::to_double(oy, half), pixel));
      w[half] = V::add(V::to_double(f.p.w, half), V::add(across, down));
    }
    const F start = V::to_float(w[0], w[1]);
    const F low = V::min(f.p.w, V::min(f.q.w, f.r.w)), high = V::max(f.p.w, V::max(f.q.w, f.r.w));
    const I dx = V::sub(box.i0, x), dy = V::sub(box.j0, y);
    const F first = V::add(start, V::add(V::mul(step_x, V::to_float(dx)), V::mul(step_y, V::to_float(dy))));
    V::store(f_.w, start), V::store(f_.gx, step_x), V::store(f_.gy, step_y);
    V::store(f_.low, low), V::store(f_.high, high), V::store(f_.dx, dx), V::store(f_.dy, dy);
    V::store(f_.first, V::clamp(first, low, high));
  }

  // Of faces k.. of those that moved together: the lanes that may own a pixel.
  unsigned set_up(int k, unsigned lanes) {
    Three f = load(k);
    lanes &= orient(f);
    const Boxes box = boxes(f);
    V::store(f_.x0, box.i0), V::store(f_.x1, box.i1), V::store(f_.y0, box.j0), V::store(f_.y1, box.j1);
    V::store(f_.id, V::load(s_.ids + k));
    const I c0 = set_edge(0, f.p, f.q, box), c1 = set_edge(1, f.q, f.r, box), c2 = set_edge(2, f.r, f.p, box);
    set_plane(f, box);
    // A box of one pixel is decided here.
    single_ = V::bits(V::both(V::equal(box.i0, box.i1), V::equal(box.j0, box.j1)));
    return lanes & ~(single_ & V::bits(V::less(V::either(V::either(c0, c1), c2), V::set(0))));
  }

  void fill(unsigned lanes) {
    for (unsigned left = lanes & single_; left != 0; left &= left - 1) fill_pixel(__builtin_ctz(left));
    for (unsigned left = lanes & ~single_; left != 0; left &= left - 1) {
      const int k = __builtin_ctz(left);
      if (f_.x1[k] - f_.x0[k] < V::Row::kLanes)
        fill_narrow(k);
      else
        fill_wide(k);
    }
  }

  int64_t place(int k) const { return int64_t{f_.y0[k] - tile_.y0} * tile_.stride + (f_.x0[k] - tile_.x0); }

  void fill_pixel(int k) {
    const int64_t at = place(k);
    if (!in_front(f_.first[k], f_.id[k], tile_.depth[at], tile_.ids[at])) return;
    tile_.depth[at] = f_.first[k], tile_.ids[at] = f_.id[k];
  }

  using Row = typename V::Row;
  using RI = typename Row::I;
  using RF = typename Row::F;

  // Rows of at most Row::kLanes pixels.
  void fill_narrow(int k) {
    const RI lane = Row::lanes();
    RI e0 = Row::add(Row::set(f_.c[0][k]), Row::mul(Row::set(f_.a[0][k]), lane));
    RI e1 = Row::add(Row::set(f_.c[1][k]), Row::mul(Row::set(f_.a[1][k]), lane));
    RI e2 = Row::add(Row::set(f_.c[2][k]), Row::mul(Row::set(f_.a[2][k]), lane));
    const RI b0 = Row::set(f_.b[0][k]), b1 = Row::set(f_.b[1][k]), b2 = Row::set(f_.b[2][k]);
    const RF across = Row::mul(Row::set(f_.gx[k]), Row::to_float(Row::add(Row::set(f_.dx[k]), lane)));
    const RF gy = Row::set(f_.gy[k]), start = Row::set(f_.w[k]), low = Row::set(f_.low[k]),
             high = Row::set(f_.high[k]);
    const RI id = Row::set(f_.id[k]);
    const int64_t at = place(k);
    float* depth = tile_.depth + at;
    int32_t* ids = tile_.ids + at;
    float down = static_cast<float>(f_.dy[k]);
    for (int32_t rows = f_.y1[k] - f_.y0[k]; rows >= 0; --rows) {
      const RF w = Row::clamp(Row::add(start, Row::add(across, Row::mul(gy, Row::set(down)))), low, high);
      put(depth, ids, Row::not_negative(Row::either(Row::either(e0, e1), e2)), w, id);
      e0 = Row::add(e0, b0), e1 = Row::add(e1, b1), e2 = Row::add(e2, b2);
      depth += tile_.stride, ids += tile_.stride, down += 1;
    }
  }

  void fill_wide(int k) {
    using Wide = typename V::Wide;
    using WI = typename Wide::I;
    using WF = typename Wide::F;
    const WI lane = Wide::lanes();
    WI e[3], step[3], down_step[3];
    for (int n = 0; n < 3; ++n) {
      const WI a = Wide::set(f_.a[n][k]);
      e[n] = Wide::add(Wide::set(f_.c[n][k]), Wide::mul(a, lane));
      step[n] = Wide::set(f_.a[n][k] * Wide::kLanes);
      down_step[n] = Wide::set(f_.b[n][k]);
    }
    const WF gx = Wide::set(f_.gx[k]), gy = Wide::set(f_.gy[k]), start = Wide::set(f_.w[k]),
             low = Wide::set(f_.low[k]), high = Wide::set(f_.high[k]);
    const WF first = Wide::to_float(Wide::add(Wide::set(f_.dx[k]), lane));
    const WI id = Wide::set(f_.id[k]);
    const int64_t at = place(k);
    const int32_t width = f_.x1[k] - f_.x0[k];
    float down = static_cast<float>(f_.dy[k]);
    for (int32_t row = 0; row <= f_.y1[k] - f_.y0[k]; ++row, down += 1) {
      float* const depth = tile_.depth + at + row * tile_.stride;
      int32_t* const ids = tile_.ids + at + row * tile_.stride;
      WI f0 = e[0], f1 = e[1], f2 = e[2];
      WF right = first;
      const WF below = Wide::mul(gy, Wide::set(down));
      bool entered = false;
      for (int32_t i = 0; i <= width; i += Wide::kLanes) {
        const auto in = Wide::not_negative(Wide::either(Wide::either(f0, f1), f2));
        const bool any = Wide::any(in);
        if (any) {
          const WF w = Wide::clamp(Wide::add(start, Wide::add(Wide::mul(gx, right), below)), low, high);
          put_in<Wide>(depth + i, ids + i, in, w, id);
        } else if (entered) {
          break;  // a face is convex
        }
        entered = any;
        f0 = Wide::add(f0, step[0]), f1 = Wide::add(f1, step[1]), f2 = Wide::add(f2, step[2]);
        right = Wide::add(right, Wide::set(float{Wide::kLanes}));
      }
      for (int n = 0; n < 3; ++n) e[n] = Wide::add(e[n], down_step[n]);
    }
  }

  static void put(float* depth, int32_t* ids, typename Row::M in, RF w, RI id) {
    put_in<Row>(depth, ids, in, w, id);
  }
  template <class L>
  static void put_in(float* depth, int32_t* ids, typename L::M in, typename L::F w, typename L::I id) {
    const typename L::F others = L::load(depth);
    const typename L::I other_ids = L::load(ids);
    const typename L::M front =
        L::both(in, L::either(L::less(others, w), L::both(L::equal(w, others), L::less(id, other_ids))));
    L::store_where(depth, front, w, others);
    L::store_where(ids, front, id, other_ids);
  }

  const View& view_;
  const Tile& tile_;
  Scratch& s_;
  Faces<kLanes> f_;
  unsigned single_ = 0;  // lanes whose box is one pixel
};

template <class V>
void draw(const View& view, const Tile& tile, const Cluster& cluster, Scratch& scratch) {
  Drawing<V>(view, tile, scratch)(cluster);
}

template <class V>
void invert(const float* inverse, int64_t count, float* depth) {
  int64_t i = 0;
  for (; i + V::kLanes <= count; i += V::kLanes)
    V::store(depth + i, V::div(V::set(1.f), V::load(inverse + i)));
  for (; i < count; ++i) depth[i] = 1 / inverse[i];
}

}  // namespace raster
}  // namespace mirror
