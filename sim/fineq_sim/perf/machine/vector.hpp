// ParameterBuffer and VectorUnit: sums meet their scales and become bus words of results.

#pragma once

#include <vector>

#include "bursts.hpp"
#include "output.hpp"
#include "walk.hpp"

namespace fineq {

struct ParameterBuffer {
    const Constants& c;
    TileWalk walk;
    DoubleBuffer halves;
    bool plain = false;                           // of the job: nothing is fetched
    bool asks_tokens = false, of_tokens = false;  // next command, next word: of the tokens, not of the channels
    uint64_t channels_base = 0, channels_address = 0, tokens_address = 0;
    bool valid = false;
    Group scaled;

    explicit ParameterBuffer(const Constants& constants) : c(constants), walk(constants) {}

    void start(const Job& job) {
        plain = job.plain;
        if (!plain) walk.start(job, 1);
        channels_base = channels_address = job.channel_parameters;
        tokens_address = job.token_parameters;
    }
    bool busy() const { return walk.active || !halves.idle() || valid; }
    bool asks() const { return walk.active && halves.can_reserve(); }
    Transfer command() const {
        if (asks_tokens) return {tokens_address, walk.tokens_in_tile * uint32_t(c.token_bytes), 1, 0};
        return {channels_address, walk.channels_in_tile * uint32_t(c.channel_bytes), 1, 0};
    }
    // Takes a group of sums.
    bool reads(bool groups_valid, bool ready) const {
        return groups_valid && (halves.can_play() || plain) && (!valid || ready);
    }

    // `ended`: the last word of a command comes; `read`: a group is taken; `ready`: of the vector unit.
    void tick(bool asked, bool ended, bool read, const Group& group, bool ready) {
        const bool tile_asked = asked && asks_tokens;
        halves.tick(tile_asked, ended && of_tokens, read && group.last && !plain);
        of_tokens ^= ended;
        if (tile_asked) {
            channels_address += walk.channels_in_tile * c.channel_bytes;
            if (walk.last_channels) {
                channels_address = channels_base;
                tokens_address += c.token_tile_bytes;
            }
            walk.advance();
        }
        asks_tokens ^= asked;
        if (read)
            valid = true, scaled = group;
        else if (ready)
            valid = false;
    }

    void record(Recorder& state) const {
        walk.record(state), halves.record(state);
        state(asks_tokens), state(of_tokens), state(valid);
        if (valid) state(scaled.lanes), state(scaled.row_last), state(scaled.last);
        if (plain) return;
        state.page(channels_address);
        state.page(tokens_address, walk.tokens_in_tile * c.token_bytes, c.token_tile_bytes);
    }
};

struct VectorUnit {
    const Constants& c;
    std::vector<Group> lanes;  // what travels beside the lanes, a ring; no lanes: nothing
    uint32_t head = 0, inside = 0;
    uint32_t part = 0, position = 0;  // word of a group, group of a word
    bool word_valid = false;
    uint32_t word_bytes = 0;  // that are written

    explicit VectorUnit(const Constants& constants) : c(constants), lanes(c.vector_lane_latency) {}

    bool busy() const { return inside || word_valid || position; }
    bool free(bool words_ready) const { return !word_valid || words_ready; }
    // The group at the end leaves its last word.
    bool part_last(bool narrow) const {
        const uint32_t a_word = c.vector_lanes / c.vector_words;
        return narrow || part + 1 >= c.vector_words || lanes[head].lanes <= (part + 1) * a_word;
    }
    bool ready(bool words_ready, bool narrow) const { return free(words_ready) && part_last(narrow); }

    void tick(bool words_ready, bool valid, const Group& scaled, bool narrow) {
        if (!free(words_ready)) return;
        const Group done = lanes[head];
        const bool last = part_last(narrow);
        const bool complete = !narrow || done.row_last || position + 1 == c.wide_bytes / c.vector_words;
        word_valid = done.lanes && complete;
        if (done.lanes) {
            if (narrow) {
                word_bytes = (position ? word_bytes : 0) + done.lanes;
            } else {
                const uint32_t a_word = c.vector_lanes / c.vector_words, rest = done.lanes - part * a_word;
                word_bytes = c.wide_bytes * (rest < a_word ? rest : a_word);
            }
            position = complete ? 0 : position + 1;
            part = last ? 0 : part + 1;
        }
        if (!last) return;
        inside += valid;
        inside -= done.lanes != 0;
        lanes[head] = valid ? scaled : Group{};
        if (++head == lanes.size()) head = 0;
    }

    void record(Recorder& state) const {
        state(part), state(position), state(word_valid), state(word_valid || position ? word_bytes : 0), state(inside);
        if (!inside) return;
        for (uint32_t i = 0; i < lanes.size(); ++i) {
            const Group& group = lanes[(head + i) % lanes.size()];
            state(group.lanes * 2 + group.row_last);
        }
    }
};

}  // namespace fineq
