// How an op spreads its work: a numbered list of tasks, handed out one by one. Which thread does which task never
// changes a result, because every task writes its own outputs.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>

#include "mirror/parallel.h"

namespace mirror {

// 64-byte aligned scratch memory, uninitialised.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count) {
    const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
    if (bytes == 0) return;
    data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~Buffer() { std::free(data_); }
  Buffer(Buffer&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* get() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
};

// Calls worker(task) for every task in [0, tasks). make_worker() gives each thread its own worker, which may own
// scratch memory; it is called only by threads that get a task. The first exception stops the hand-out and is thrown
// again on the calling thread, because bodies of a Parallel must not throw.
template <class MakeWorker>
void run_tasks(const Parallel& parallel, int64_t tasks, const MakeWorker& make_worker) {
  struct Shared {
    const MakeWorker& make_worker;
    int64_t tasks;
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::exception_ptr failure;
  } shared{make_worker, tasks, {}, {}, nullptr};
  auto body = [](int64_t, int64_t, void* context) {
    Shared& s = *static_cast<Shared*>(context);
    try {
      int64_t task = s.next.fetch_add(1);
      if (task >= s.tasks) return;
      auto worker = s.make_worker();
      for (; task < s.tasks; task = s.next.fetch_add(1)) worker(task);
    } catch (...) {
      s.next.store(s.tasks);
      const std::lock_guard<std::mutex> lock(s.mutex);
      if (!s.failure) s.failure = std::current_exception();
    }
  };
  if (tasks <= 0) return;
  if (parallel.run == nullptr || parallel.threads <= 1 || tasks == 1)
    body(0, 1, &shared);
  else
    parallel.run(parallel.pool, 0, parallel.threads, 1, body, &shared);
  if (shared.failure) std::rethrow_exception(shared.failure);
}

}  // namespace mirror
