// Threads: every index is handled exactly once, whatever the count and the grain; a failing worker is reported.
#include "mirror/parallel.h"

#include <atomic>
#include <stdexcept>
#include <vector>

#include "check.h"
#include "core/tasks.h"

namespace {

void every_index_once(int count, int64_t size, int64_t grain) {
  std::vector<std::atomic<int>> seen(static_cast<size_t>(size));
  const mirror::Parallel parallel = mirror::threads(count);
  auto body = [](int64_t begin, int64_t end, void* context) {
    for (int64_t i = begin; i < end; ++i) ++static_cast<std::atomic<int>*>(context)[i];
  };
  if (parallel.run != nullptr)
    parallel.run(parallel.pool, 0, size, grain, body, seen.data());
  else
    body(0, size, seen.data());
  for (const auto& times : seen) CHECK(times == 1);
}

void every_task_once(int count, int64_t tasks) {
  std::vector<std::atomic<int>> seen(static_cast<size_t>(tasks));
  std::atomic<int> workers{0};
  mirror::run_tasks(mirror::threads(count), tasks, [&] {
    ++workers;
    return [&](int64_t task) { ++seen[static_cast<size_t>(task)]; };
  });
  for (const auto& times : seen) CHECK(times == 1);
  CHECK(workers <= count && workers <= tasks);
}

void a_failure_reaches_the_caller(int count) {
  bool caught = false;
  try {
    mirror::run_tasks(mirror::threads(count), 100, [] {
      return [](int64_t task) {
        if (task == 7) throw std::runtime_error("seven");
      };
    });
  } catch (const std::runtime_error& error) {
    caught = std::string(error.what()) == "seven";
  }
  CHECK(caught);
}

}  // namespace

int main() {
  for (int count : {1, 2, 4, 5}) {
    for (int64_t size : {0, 1, 7, 1000})
      for (int64_t grain : {1, 3, 2000}) every_index_once(count, size, grain);
    for (int64_t tasks : {0, 1, 3, 1000}) every_task_once(count, tasks);
    a_failure_reaches_the_caller(count);
  }
  return check::result();
}
