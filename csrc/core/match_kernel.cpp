// Late interaction of local features: which pairs are computed by which thread, and where their results go.
// The arithmetic of one pair is in match_kernel_pair.cpp, its products in one file per instruction set.
//
// The second photo of a pair is read in packed form. Photos are packed once per call, as many at a time as
// fit into kPackedBytes; a task is a small rectangle of pairs (or a run of listed pairs with the same second
// photo), so that what it reads stays in the cache.
#include "mirror/match_kernel.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/match_kernel_block.h"
#include "core/match_kernel_pair.h"
#include "core/tasks.h"

namespace mirror {
namespace {

constexpr int64_t kPackedBytes = int64_t{256} << 20;
constexpr int64_t kCacheBytes = int64_t{512} << 10;  // of the descriptors of one task

const MatchIsa& match_isa() {
  switch (isa_selected()) {
#if defined(MIRROR_X86)
    case Isa::kAmx:
      return kMatchAmx;
    case Isa::kAvx512:
      return has_avx512_vbmi2() ? kMatchAvx512Vbmi2 : kMatchAvx512;
    case Isa::kAvx2:
      return kMatchAvx2;
#endif
    default:
      return kMatchPortable;
  }
}

// One set of photos, cut at `depth`, with what is derived from the descriptors of those that are used.
class Photos {
 public:
  // `coarse`: descriptors of half the length too.
  Photos(const Descriptors& d, int64_t depth, bool coarse = false)
      : d_(d), depth_(depth < 0 ? d.capacity : std::min(depth, d.capacity)) {
    if (d.capacity > kMaxFeatures)
      throw std::invalid_argument("match_kernel: expected at most " + std::to_string(kMaxFeatures) +
                                  " features per photo, got " + std::to_string(d.capacity));
    stride_ = (depth_ + kColumnStep - 1) / kColumnStep * kColumnStep;
    norms_ = Buffer<int32_t>(d.images * stride_);
    if (coarse) coarse_ = Buffer<uint8_t>(d.images * depth_ * kCoarseLength);
  }

  int64_t count() const { return d_.images; }
  int64_t depth() const { return depth_; }
  int64_t stride() const { return stride_; }
  int32_t size(int64_t photo) const {
    const int64_t all = d_.sizes == nullptr ? d_.capacity : d_.sizes[photo];
    return static_cast<int32_t>(std::min(all, depth_));
  }
  const uint8_t* rows(int64_t photo) const { return d_.data + photo * d_.capacity * kDescriptorLength; }
  const uint8_t* coarse(int64_t photo) const {
    return coarse_.get() == nullptr ? nullptr : coarse_.get() + photo * depth_ * kCoarseLength;
  }
  const int32_t* norms(int64_t photo) const { return norms_.get() + photo * stride_; }
  MatchRows as_rows(int64_t photo) const { return {rows(photo), norms(photo), size(photo), coarse(photo)}; }

  template <class Used>
  void prepare(const Used& used, const Parallel& parallel) const {
    constexpr int64_t kPhotos = 8;
    run_tasks(parallel, (count() + kPhotos - 1) / kPhotos, [&] {
      return [&](int64_t task) {
        for (int64_t photo = task * kPhotos; photo < std::min(count(), (task + 1) * kPhotos); ++photo)
          if (used(photo)) {
            compute_norms(photo);
            if (coarse_.get() != nullptr) compute_coarse(photo);
          }
      };
    });
  }

 private:
  void compute_norms(int64_t photo) const {
    int32_t* const norms = norms_.get() + photo * stride_;
    const uint8_t* row = rows(photo);
    const int32_t size = this->size(photo);
    for (int32_t i = 0; i < size; ++i, row += kDescriptorLength) {
      int32_t sum = 0;
      for (int k = 0; k < kDescriptorLength; ++k)
        sum += static_cast<int16_t>(row[k]) * static_cast<int16_t>(row[k]);
      norms[i] = sum;
    }
    std::fill(norms + size, norms + stride_, 0);
  }

  // Of the 4 x 4 cells of 8 numbers two neighbours are summed: (a + b) / sqrt(2), rounded, at most 127.
  void compute_coarse(int64_t photo) const {
    constexpr int kRow = 32, kHeight = kDescriptorLength / kRow;  // a row of cells
    uint8_t* out = coarse_.get() + photo * depth_ * kCoarseLength;
    const uint8_t* row = rows(photo);
    const int32_t size = this->size(photo);
    for (int32_t i = 0; i < size; ++i, row += kDescriptorLength)
      for (int y = 0; y < kHeight; y += 2)
        for (int k = 0; k < kRow; ++k) {
          const int sum = row[y * kRow + k] + row[(y + 1) * kRow + k];
          *out++ = static_cast<uint8_t>(std::min(127, (sum * 181 + 128) >> 8));
        }
  }

  const Descriptors& d_;
  int64_t depth_;
  int64_t stride_;
  Buffer<int32_t> norms_;
  Buffer<uint8_t> coarse_;
};

// The packed form of some photos at a time.
class Packed {
 public:
  Packed(const MatchProducts& products, const Photos& photos, int64_t wanted)
      : products_(products), photos_(photos), bytes_(photos.stride() * products.length) {
    capacity_ = std::max<int64_t>(1, std::min(wanted, kPackedBytes / std::max<int64_t>(bytes_, 1)));
    data_ = Buffer<uint8_t>(capacity_ * bytes_);
  }
  int64_t capacity() const { return capacity_; }

  // photo_at(slot) for 0 <= slot < count <= capacity() says which photo lies where.
  template <class PhotoAt>
  void pack(int64_t count, const PhotoAt& photo_at, const Parallel& parallel) const {
    run_tasks(parallel, count, [&] {
      return [&](int64_t slot) {
        const int64_t photo = photo_at(slot), size = photos_.size(photo);
        const int64_t padded = (size + kColumnStep - 1) / kColumnStep * kColumnStep;
        const uint8_t* const rows =
            products_.length == kCoarseLength ? photos_.coarse(photo) : photos_.rows(photo);
        if (size > 0) products_.pack(rows, size, padded, data_.get() + slot * bytes_);
      };
    });
  }
  MatchColumns as_columns(int64_t slot, int64_t photo) const {
    return {data_.get() + slot * bytes_, photos_.norms(photo), photos_.size(photo), photos_.rows(photo)};
  }

 private:
  const MatchProducts& products_;
  const Photos& photos_;
  int64_t bytes_;
  int64_t capacity_;
  Buffer<uint8_t> data_;
};

// Side of a square of pairs: in cache, and enough squares for all threads.
int64_t square_side(const Photos& a, const Photos& b, const Parallel& parallel) {
  const int64_t photo_bytes = std::max<int64_t>(1, std::max(a.depth(), b.depth()) * kDescriptorLength);
  int64_t side = std::clamp<int64_t>(kCacheBytes / photo_bytes, 1, 32);
  const int64_t wanted = parallel.threads > 1 ? int64_t{8} * parallel.threads : 1;
  while (side > 1 && ((a.count() + side - 1) / side) * ((b.count() + side - 1) / side) < wanted) side /= 2;
  return side;
}

// store(i, j, score) for all pairs, or those with i <= j.
template <class Store>
void all_pairs(const Photos& a, const Photos& b, bool self, const Store& store, const Parallel& parallel) {
  const MatchIsa& isa = match_isa();
  const Packed packed(isa.full, b, b.count());
  const int64_t side = square_side(a, b, parallel);
  for (int64_t begin = 0; begin < b.count(); begin += packed.capacity()) {
    const int64_t end = std::min(b.count(), begin + packed.capacity());
    packed.pack(end - begin, [&](int64_t slot) { return begin + slot; }, parallel);
    const int64_t across = (end - begin + side - 1) / side, down = (a.count() + side - 1) / side;
    run_tasks(parallel, across * down, [&] {
      return [&, matcher = std::make_unique<PairMatcher>(isa, a.depth(), b.depth())](int64_t task) {
        const int64_t j0 = begin + task / down * side, i0 = task % down * side;
        for (int64_t j = j0; j < std::min(end, j0 + side); ++j)
          for (int64_t i = i0; i < std::min(a.count(), i0 + side) && !(self && i > j); ++i)
            store(i, j, matcher->score(a.as_rows(i), packed.as_columns(j - begin, j)));
      };
    });
  }
}

// Some pairs of a list, ordered by second photo.
struct PairList {
  const int64_t* pairs;
  std::vector<int64_t> order;
  PairList(const int64_t* list, std::vector<int64_t> chosen) : pairs(list), order(std::move(chosen)) {
    std::sort(order.begin(), order.end(), [list](int64_t x, int64_t y) {
      if (list[2 * x + 1] != list[2 * y + 1]) return list[2 * x + 1] < list[2 * y + 1];
      if (list[2 * x] != list[2 * y]) return list[2 * x] < list[2 * y];
      return x < y;
    });
  }
  int64_t count() const { return static_cast<int64_t>(order.size()); }
  int64_t first(int64_t at) const { return pairs[2 * order[static_cast<size_t>(at)]]; }
  int64_t second(int64_t at) const { return pairs[2 * order[static_cast<size_t>(at)] + 1]; }
};

std::vector<int64_t> every(int64_t count) {
  std::vector<int64_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

// give(pair, matcher, rows, columns) for every listed pair; columns packed for products of `length`.
template <class Give>
void listed_pairs(const Photos& a, const Photos& b, const PairList& list, int length, const Give& give,
                  const Parallel& parallel) {
  const int64_t count = list.count();
  std::vector<char> used_a(static_cast<size_t>(a.count())), used_b(static_cast<size_t>(b.count()));
  for (int64_t i = 0; i < count; ++i) {
    used_a[static_cast<size_t>(list.first(i))] = 1;
    used_b[static_cast<size_t>(list.second(i))] = 1;
  }
  a.prepare([&](int64_t photo) { return used_a[static_cast<size_t>(photo)] != 0; }, parallel);
  b.prepare([&](int64_t photo) { return used_b[static_cast<size_t>(photo)] != 0; }, parallel);

  const MatchIsa& isa = match_isa();
  const Packed packed(length == kCoarseLength ? isa.coarse : isa.full, b,
                      std::count(used_b.begin(), used_b.end(), 1));
  std::vector<int64_t> photos, slot_of(static_cast<size_t>(b.count()));
  for (int64_t begin = 0, end = 0; begin < count; begin = end) {
    photos.clear();
    for (end = begin; end < count; ++end) {
      const int64_t photo = list.second(end);
      if (!photos.empty() && photos.back() == photo) continue;
      if (static_cast<int64_t>(photos.size()) == packed.capacity()) break;
      slot_of[static_cast<size_t>(photo)] = static_cast<int64_t>(photos.size());
      photos.push_back(photo);
    }
    packed.pack(
        static_cast<int64_t>(photos.size()), [&](int64_t s) { return photos[static_cast<size_t>(s)]; },
        parallel);
    const int64_t run = std::clamp<int64_t>((end - begin) / (int64_t{8} * parallel.threads), 1, 16);
    run_tasks(parallel, (end - begin + run - 1) / run, [&] {
      return [&, matcher = std::make_unique<PairMatcher>(isa, a.depth(), b.depth())](int64_t task) {
        for (int64_t at = begin + task * run; at < std::min(end, begin + (task + 1) * run); ++at) {
          const int64_t photo = list.second(at);
          give(list.order[static_cast<size_t>(at)], *matcher, a.as_rows(list.first(at)),
               packed.as_columns(slot_of[static_cast<size_t>(photo)], photo));
        }
      };
    });
  }
}

constexpr auto kEvery = [](int64_t) { return true; };

// Keeps the matches whose smaller ratio is below max_ratio; interleaved, as the sink wants them.
int64_t select(const MatchList& list, int32_t count, float max_ratio, int32_t* matches, float* ratios) {
  int64_t kept = 0;
  for (int32_t m = 0; m < count; ++m) {
    matches[2 * kept] = list.p[m];
    matches[2 * kept + 1] = list.q[m];
    ratios[2 * kept] = list.ratio_p[m];
    ratios[2 * kept + 1] = list.ratio_q[m];
    kept += std::min(list.ratio_p[m], list.ratio_q[m]) < max_ratio;
  }
  return kept;
}

}  // namespace

void match_kernel(const Descriptors& a, const Descriptors& b, int64_t depth, float* scores,
                  const Parallel& parallel) {
  const Photos first(a, depth), second(b, depth);
  first.prepare(kEvery, parallel);
  second.prepare(kEvery, parallel);
  auto store = [&](int64_t i, int64_t j, float score) { scores[i * b.images + j] = score; };
  all_pairs(first, second, false, store, parallel);
}

void match_kernel_self(const Descriptors& photos, int64_t depth, float* scores, const Parallel& parallel) {
  const Photos set(photos, depth);
  set.prepare(kEvery, parallel);
  auto store = [&](int64_t i, int64_t j, float score) {
    scores[i * photos.images + j] = score;
    scores[j * photos.images + i] = score;
  };
  all_pairs(set, set, true, store, parallel);
}

void match_kernel_pairs(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                        int64_t depth, float* scores, const Parallel& parallel) {
  auto give = [&](int64_t pair, PairMatcher& matcher, const MatchRows& rows, const MatchColumns& columns) {
    scores[pair] = matcher.score(rows, columns);
  };
  listed_pairs(Photos(a, depth), Photos(b, depth), {pairs, every(count)}, kFullLength, give, parallel);
}

void mutual_matches(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                    int64_t depth, float max_ratio, const MatchSink& sink, const Parallel& parallel,
                    bool exact) {
  auto hand_over = [&](int64_t pair, const PairMatcher& matcher, int32_t found) {
    // At most one match per feature: the list's own arrays are not needed twice, a little buffer per pair is
    // cheap.
    const Buffer<int32_t> matches(2 * int64_t{found} + 2);
    const Buffer<float> ratios(2 * int64_t{found} + 2);
    const int64_t kept = select(matcher.list(), found, max_ratio, matches.get(), ratios.get());
    sink.receive(sink.context, pair, kept, matches.get(), ratios.get());
  };
  auto in_one = [&](int64_t pair, PairMatcher& matcher, const MatchRows& rows, const MatchColumns& columns) {
    hand_over(pair, matcher, matcher.matches(rows, columns));
  };
  auto in_two = [&](int64_t pair, PairMatcher& matcher, const MatchRows& rows, const MatchColumns& columns) {
    hand_over(pair, matcher, matcher.matches_in_two_passes(rows, columns));
  };
  std::vector<int64_t> one = every(count), two;
  if (!exact) {
    const Photos first(a, depth, true), second(b, depth, true);
    auto large = [&](int64_t pair) {
      return std::min(first.size(pairs[2 * pair]), second.size(pairs[2 * pair + 1])) >= kMinTwoPass;
    };
    const auto split =
        std::stable_partition(one.begin(), one.end(), [&](int64_t pair) { return !large(pair); });
    two.assign(split, one.end());
    one.erase(split, one.end());
    listed_pairs(first, second, {pairs, std::move(two)}, kCoarseLength, in_two, parallel);
  }
  listed_pairs(Photos(a, depth), Photos(b, depth), {pairs, std::move(one)}, kFullLength, in_one, parallel);
}

}  // namespace mirror
