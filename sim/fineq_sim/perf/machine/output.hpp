// OutputBuffer: accumulates the sums of one tile while those of the one before drain, token by token.

#pragma once

#include "walk.hpp"

namespace fineq {

// Sums of one token for some channels of the tile.
struct Group {
    uint32_t lanes = 0;
    bool row_last = false, last = false;
};

struct OutputBuffer {
    const Constants& c;
    TileWalk walk;
    DoubleBuffer halves;
    uint32_t waiting = 0;  // results written and not yet read back
    bool partials_valid = false;
    uint32_t tokens_held[2] = {}, channels_held[2] = {};
    uint32_t group = 0, token = 0;
    bool groups_valid = false;
    Group groups;

    explicit OutputBuffer(const Constants& constants) : c(constants), walk(constants) {}

    void start(const Job& job) { walk.start(job, job.inner_tiles); }
    bool busy() const { return walk.active || !halves.idle(); }
    bool results_ready() const { return halves.can_reserve(); }

    // `result`, `result_last`: one is taken, it ends its inner tile; `partials_ready`: of the array; `groups_ready`.
    void tick(bool result, bool result_last, bool partials_ready, bool groups_ready) {
        const bool read_back = waiting && (!partials_valid || partials_ready);
        waiting += (result && !walk.last_inner) - read_back;
        if (read_back)
            partials_valid = true;
        else if (partials_ready)
            partials_valid = false;

        // The last group stays in the banks' read registers until it is taken.
        const bool available = halves.can_play() && !(groups_valid && groups.last);
        const bool release = groups_valid && groups_ready && groups.last;
        const bool read = available && (!groups_valid || groups_ready);
        const bool advance = result && result_last, fill = advance && walk.last_inner;
        if (read) {
            const uint32_t half = halves.play_half, remaining = channels_held[half] - group * c.vector_lanes;
            const bool row_last = remaining <= c.vector_lanes;
            const bool last = row_last && token + 1 == tokens_held[half];
            groups = {row_last ? remaining : uint32_t(c.vector_lanes), row_last, last};
            groups_valid = true;
            group = row_last ? 0 : group + 1;
            if (row_last) token = last ? 0 : token + 1;
        } else if (groups_ready) {
            groups_valid = false;
        }
        if (fill) {
            tokens_held[halves.fill_half] = walk.tokens_in_tile;
            channels_held[halves.fill_half] = walk.channels_in_tile;
        }
        halves.tick(fill, fill, release);
        if (advance) walk.advance();
    }

    void record(Recorder& state) const {
        walk.record(state), halves.record(state);
        state(waiting), state(partials_valid), state(tokens_held[0]), state(tokens_held[1]), state(channels_held[0]);
        state(channels_held[1]), state(group), state(token), state(groups_valid);
        if (groups_valid) state(groups.lanes), state(groups.row_last), state(groups.last);
    }
};

}  // namespace fineq
