// The tile kernels, behind one function per storage type: their instantiations compile side by side in
// pr_mac_tiles_<type>.cu.
#pragma once

#include <algorithm>

#include "core/launch_cuda.h"
#include "core/pr_mac_tile.cuh"

namespace mirror {
namespace cuda {

// How the shared memory of a block is used.
struct TilePlan {
  int32_t a_slots;
  bool shared_state;  // kSelf
  int64_t shared;     // bytes
};

// Query rows of a group stay in shared memory where they fit; then the state of the self-join, where it still fits.
template <class Engine>
TilePlan tile_plan(int32_t channels, int32_t target_capacity, bool self, int64_t limit) {
  TilePlan plan{};
  const int32_t chunks = channels / kChunk;
  const bool resident = chunks >= Engine::kStages && tile_shared_bytes<Engine>(chunks) <= limit;
  plan.a_slots = resident ? chunks : Engine::kStages;
  plan.shared = tile_shared_bytes<Engine>(plan.a_slots);
  plan.shared_state = self && plan.shared + state_bytes(target_capacity) <= limit;
  if (plan.shared_state) plan.shared += state_bytes(target_capacity);
  return plan;
}

// Completes the work (a_slots, state) and launches it. `state`: multiprocessors() * state_bytes(target capacity) bytes
// for the self-join.
template <class Storage>
void launch_tiles(TileWork<Storage> work, bool self, unsigned char* state, Stream stream, const char* op);

template <class Engine, bool kSelf, bool kArgmax>
void launch_engine(TileWork<typename Engine::Storage> work, unsigned char* state, Stream stream,
                   const char* op) {
  const int64_t tiles = work.query_tiles() * work.target_tiles();
  if (tiles == 0) return;
  const TilePlan plan = tile_plan<Engine>(work.query.channels, work.target.capacity, kSelf, shared_limit(op));
  work.a_slots = plan.a_slots;
  work.state = kSelf && !plan.shared_state ? state : nullptr;
  allow_shared(pr_mac_tiles<Engine, kSelf, kArgmax>, plan.shared, op);
  // One block per multiprocessor: as many as there is state for, and none waits for another's tail.
  const int64_t blocks = std::min<int64_t>(tiles, multiprocessors(op));
  launch(op, stream, pr_mac_tiles<Engine, kSelf, kArgmax>, {blocks}, kTileThreads, plan.shared, work);
}

// Target regions in steps of 7 or 8: 35 regions are 5 steps of 7.
template <class Storage, class Mma>
void launch_tensor(const TileWork<Storage>& work, bool self, unsigned char* state, Stream stream,
                   const char* op) {
  const bool seven = steps_of(work.target.capacity, 8).each <= 7;
  if (self && seven)
    launch_engine<TensorEngine<Storage, Mma, 7>, true, false>(work, state, stream, op);
  else if (self)
    launch_engine<TensorEngine<Storage, Mma, 8>, true, false>(work, state, stream, op);
  else if (seven)
    launch_engine<TensorEngine<Storage, Mma, 7>, false, false>(work, state, stream, op);
  else
    launch_engine<TensorEngine<Storage, Mma, 8>, false, false>(work, state, stream, op);
}

}  // namespace cuda
}  // namespace mirror
