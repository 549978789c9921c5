#include "mirror/parallel.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace mirror {
namespace {

// Chunks of `grain` are handed out one by one: threads that finish early take more.
void run_threads(void* pool, int64_t begin, int64_t end, int64_t grain, ParallelBody body, void* context) {
  const int64_t step = std::max<int64_t>(grain, 1);
  const int64_t chunks = (end - begin + step - 1) / step;
  const int64_t count = std::min<int64_t>(reinterpret_cast<intptr_t>(pool), chunks);
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (int64_t c; (c = next.fetch_add(1)) < chunks;)
      body(begin + c * step, std::min(end, begin + (c + 1) * step), context);
  };
  std::vector<std::thread> started;
  try {
    for (int64_t i = 1; i < count; ++i) started.emplace_back(work);
  } catch (...) {
    // The system gives no more threads: those that run share the work.
  }
  work();
  for (std::thread& thread : started) thread.join();
}

}  // namespace

Parallel serial() { return {}; }

Parallel threads(int count) {
  if (count < 1) count = std::max(1u, std::thread::hardware_concurrency());
  if (count == 1) return serial();
  return {run_threads, reinterpret_cast<void*>(static_cast<intptr_t>(count)), count};
}

}  // namespace mirror
