// The twin of the machine, watched: what each stage does in each cycle, as runs of equal cycles. The machine is that of
// `fineq_sim.perf`, unchanged; a stage is busy or stalled in a cycle if its counter grew in it.

#include <cstddef>
#include <cstring>

#include "machine.hpp"

namespace {

using namespace fineq;

constexpr int STAGES = 6;
enum State : int64_t { QUIET = 0, BUSY = 1, STALLED = 2 };

// A run of cycles of one stage; four numbers each in the caller's memory.
struct Run {
    int64_t stage, state, start, length;
};

struct Watch {
    Run* runs;
    uint64_t room, used = 0;
    int64_t state[STAGES] = {}, since[STAGES] = {};

    bool see(int stage, int64_t now, int64_t cycle) {
        if (now == state[stage]) return true;
        if (!close(stage, cycle)) return false;
        state[stage] = now, since[stage] = cycle;
        return true;
    }
    bool close(int stage, int64_t cycle) {
        if (state[stage] == QUIET || cycle == since[stage]) return true;
        if (used == room) return false;
        runs[used++] = {stage, state[stage], since[stage], cycle - since[stage]};
        return true;
    }
};

template <class Core>
int watch(const Constants& constants, const Job* jobs, uint32_t count, const MemoryParameters& memory, uint64_t limit,
          Watch& watching, Counters& counters, uint64_t& cycles, bool& ended) {
    Machine<Core> machine(constants, jobs, count, memory);
    machine.step(false);  // the register port takes the command
    machine.step(true);
    Counters before = machine.counters;
    cycles = 0;
    bool room = true;
    while (machine.busy() && cycles < limit && room) {
        machine.step(false);
        const Counters& now = machine.counters;
        const uint64_t pairs[STAGES][2] = {
            {now.memory_access_busy - before.memory_access_busy, now.memory_access_stall - before.memory_access_stall},
            {now.decode_busy - before.decode_busy, now.decode_stall - before.decode_stall},
            {now.preload_busy - before.preload_busy, now.preload_stall - before.preload_stall},
            {now.multiply_busy - before.multiply_busy, now.multiply_stall - before.multiply_stall},
            {now.vector_busy - before.vector_busy, now.vector_stall - before.vector_stall},
            {now.write_back_busy - before.write_back_busy, now.write_back_stall - before.write_back_stall},
        };
        for (int stage = 0; stage < STAGES && room; ++stage)
            room = watching.see(stage, pairs[stage][0] ? BUSY : pairs[stage][1] ? STALLED : QUIET, int64_t(cycles));
        if (!room) break;
        before = now;
        ++cycles;
    }
    for (int stage = 0; stage < STAGES; ++stage) room = watching.close(stage, int64_t(cycles)) && room;
    counters = before;
    ended = !machine.busy() && room;
    return room ? 0 : 1;
}

}  // namespace

#define FINEQ_NAME(name) #name ","
extern "C" const char* fineq_constant_names() { return FINEQ_CONSTANTS(FINEQ_NAME); }
extern "C" const char* fineq_job_names() { return FINEQ_JOB(FINEQ_NAME); }
extern "C" const char* fineq_counter_names() { return FINEQ_COUNTERS(FINEQ_NAME); }
extern "C" const char* fineq_memory_names() { return FINEQ_MEMORY(FINEQ_NAME); }

// Arguments as fineq_run of the twin. `outcome`: runs written, cycles watched, whether the chain has ended.
extern "C" int fineq_watch(const int64_t* constants, const int64_t* jobs, const uint8_t* const* steps, uint32_t count,
                           const int64_t* memory, uint64_t limit, int64_t* runs, uint64_t room, uint64_t* counters,
                           uint64_t* outcome) {
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
    Watch watching{reinterpret_cast<Run*>(runs), room};
    Counters counted;
    uint64_t cycles = 0;
    bool ended = false;
    const auto engine = machine.mac ? watch<MacCore> : watch<TemporalCore>;
    const int full = engine(machine, chain.data(), count, timing, limit, watching, counted, cycles, ended);
    std::memcpy(counters, &counted, sizeof counted);
    outcome[0] = watching.used, outcome[1] = cycles, outcome[2] = ended;
    return full;
}
