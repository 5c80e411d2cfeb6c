// Leaves out token tiles: once the machine stands before a tile as it stood before an earlier one, it goes on as before.

#pragma once

#include <algorithm>
#include <deque>

#include "machine.hpp"

namespace fineq {

template <class Core>
class TokenTiles {
public:
    explicit TokenTiles(Machine<Core>& machine) : machine_(machine) {}

    // After each cycle.
    void look() {
        if (machine_.job_starts) seen_.clear();
        if (machine_.token_tile_asked && machine_.memory.repeats()) compare();
    }

private:
    static constexpr std::size_t REMEMBERED = 64;
    struct Moment {
        std::vector<uint64_t> state;
        std::vector<uint32_t> tokens_left;
        Counters counters;
    };

    std::vector<TileWalk*> walks() {
        std::vector<TileWalk*> all = {&machine_.inputs.walk, &machine_.weights.lines, &machine_.weights.vectors,
                                      &machine_.outputs.walk, &machine_.write_back.walk};
        if (!machine_.parameters.plain) all.push_back(&machine_.parameters.walk);
        return all;
    }

    void compare() {
        Moment now{{}, {}, machine_.counters};
        for (const TileWalk* walk : walks()) now.tokens_left.push_back(walk->tokens_left);
        Recorder recorder{{}, uint64_t(machine_.c.page_bytes)};
        machine_.record(recorder);
        now.state = std::move(recorder.state);
        for (const Moment& then : seen_)
            if (then.state == now.state && skip(then, now)) return seen_.clear();
        seen_.push_back(std::move(now));
        if (seen_.size() > REMEMBERED) seen_.pop_front();
    }

    // As often as no walk comes to its last token tile on the way.
    bool skip(const Moment& then, const Moment& now) {
        const uint32_t tokens = then.tokens_left[0] - now.tokens_left[0], rows = machine_.c.rows;
        uint64_t times = UINT64_MAX;
        for (std::size_t i = 0; i < now.tokens_left.size(); ++i) {
            const uint32_t left = now.tokens_left[i];
            if (then.tokens_left[i] - left != tokens || left <= rows) return false;
            times = std::min<uint64_t>(times, (left - rows - 1) / tokens);
        }
        if (!times) return false;
        for (TileWalk* walk : walks()) walk->tokens_left -= times * tokens;
        Counters& counters = machine_.counters;
        machine_.memory.skip(times * (counters.cycles - then.counters.cycles));
#define FINEQ_FIELD(name) counters.name += times * (counters.name - then.counters.name);
        FINEQ_COUNTERS(FINEQ_FIELD)
#undef FINEQ_FIELD
        return true;
    }

    Machine<Core>& machine_;
    std::deque<Moment> seen_;
};

}  // namespace fineq
