// The cycle-level twin of the accelerator as a library: a chain of jobs in, the performance counters out.

#include <cstddef>
#include <cstring>

#include "token_tiles.hpp"

namespace {

using namespace fineq;

enum Outcome { DONE = 0, TOO_LONG = 1 };

template <class Core>
Outcome run(const Constants& constants, const Job* jobs, uint32_t count, const MemoryParameters& memory, bool skip,
            uint64_t limit, Counters& counters) {
    Machine<Core> machine(constants, jobs, count, memory);
    TokenTiles<Core> tiles(machine);
    machine.step(false);  // the register port takes the command
    machine.step(true);
    while (machine.busy()) {
        if (machine.counters.cycles >= limit) return TOO_LONG;
        machine.step(false);
        if (skip) tiles.look();
    }
    counters = machine.counters;
    return DONE;
}

}  // namespace

#define FINEQ_NAME(name) #name ","
extern "C" const char* fineq_constant_names() { return FINEQ_CONSTANTS(FINEQ_NAME); }
extern "C" const char* fineq_job_names() { return FINEQ_JOB(FINEQ_NAME); }
extern "C" const char* fineq_counter_names() { return FINEQ_COUNTERS(FINEQ_NAME); }
extern "C" const char* fineq_memory_names() { return FINEQ_MEMORY(FINEQ_NAME); }

// Numbers in the order of the names above; `steps`: of each job, [inner_tiles][channels].
extern "C" int fineq_run(const int64_t* constants, const int64_t* jobs, const uint8_t* const* steps, uint32_t count,
                         const int64_t* memory, int skip, uint64_t limit, uint64_t* counters) {
    constexpr std::size_t FIELDS = offsetof(Job, steps) / sizeof(int64_t);
    Constants machine;
    MemoryParameters timing;
    std::memcpy(&machine, constants, sizeof machine);
    std::memcpy(&timing, memory, sizeof timing);
    std::vector<Job> chain(count);
    for (uint32_t i = 0; i < count; ++i) {
        std::memcpy(&chain[i], jobs + i * FIELDS, FIELDS * sizeof(int64_t));
        chain[i].steps = steps[i];
    }
    Counters counted;
    const auto engine = machine.mac ? run<MacCore> : run<TemporalCore>;
    const Outcome outcome = engine(machine, chain.data(), count, timing, skip, limit, counted);
    std::memcpy(counters, &counted, sizeof counted);
    return outcome;
}
