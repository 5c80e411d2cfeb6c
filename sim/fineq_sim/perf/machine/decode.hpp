// WeightBuffer: lines from the bus through the gearbox into one half, vectors from the other (or the same) to the array.

#pragma once

#include "bursts.hpp"
#include "walk.hpp"

namespace fineq {

inline uint32_t gcd(uint32_t a, uint32_t b) { return b ? gcd(b, a % b) : a; }

// Cuts a run of words into lines; counts in units that divide both.
struct Gearbox {
    uint32_t word, line;
    uint32_t stored = 0, given = 0;
    bool ended = false;  // the run's last word is in the store

    Gearbox(uint32_t word_bytes, uint32_t line_bytes)
        : word(word_bytes / gcd(word_bytes, line_bytes)), line(line_bytes / gcd(word_bytes, line_bytes)) {}

    bool line_valid() const { return stored >= line; }
    bool ready() const { return !ended && stored - (line_valid() ? line : 0) < line; }
    bool done(uint32_t lines) const { return ended && given == lines; }

    void tick(bool accept, bool last, uint32_t lines) {
        const bool gives = line_valid(), complete = given == lines, over = done(lines);
        const uint32_t rest = stored - (gives ? line : 0);
        stored = accept ? rest + word : rest;
        if (accept && last) ended = true;
        // A line that would follow the last one consists of padding.
        if (complete || (gives && given + 1 == lines)) stored = 0;
        given += gives;
        if (over) given = stored = 0, ended = false;
    }
};

struct WeightBuffer {
    const Constants& c;
    TileWalk lines, vectors;
    DoubleBuffer halves;
    Gearbox gearbox;
    uint32_t channels_held[2] = {};
    uint32_t written = 0;  // lines in the half that is being filled
    uint64_t tile_base = 0, group_base = 0, offset = 0;
    uint32_t channel = 0, position = 0;
    const Job* job = nullptr;
    uint32_t first_channel = 0, tile = 0;  // of the vectors' position
    bool valid = false, accumulate = false, last = false;  // vector for the array
    uint32_t steps = 0;

    explicit WeightBuffer(const Constants& constants)
        : c(constants), lines(constants), vectors(constants), gearbox(c.bus_bytes, c.line_bytes) {}

    void start(const Job& held) {
        job = &held;
        lines.start(held, held.line_groups);
        vectors.start(held, held.inner_tiles);
        tile_base = group_base = held.weights, offset = 0;
        first_channel = tile = 0;
    }
    bool busy() const { return vectors.active || lines.active || valid; }
    bool decoding() const { return lines.active || halves.pending(); }
    bool hungry() const { return halves.pending() && !halves.can_play(); }
    bool asks() const { return lines.active && halves.can_reserve(); }
    Transfer command() const { return {group_base + offset, chunk_bytes(lines.channels_in_tile), 1, 0}; }

    // `asked`: the command is accepted; `accept`: a word is, `run_last`: the last of its run; `ready`: of the array.
    void tick(bool asked, bool accept, bool run_last, bool ready) {
        const bool last_channel = channel + 1 == vectors.channels_in_tile;
        const bool last_position = vectors.last_inner || position == c.line_slices - 1;
        // A half that is still being filled can be played as far as it is written, but not given back.
        const bool available = halves.can_play() || (channel < written && !(last_channel && last_position));
        const bool read = available && (!valid || ready);
        const uint32_t run_lines = channels_held[halves.fill_half];
        const bool done = gearbox.done(run_lines), line = gearbox.line_valid();
        written = done ? 0 : written + line;
        gearbox.tick(accept, run_last, run_lines);
        if (asked) {
            channels_held[halves.reserve_half] = lines.channels_in_tile;
            next_command();
        }
        halves.tick(asked, done, read && last_channel && last_position);
        if (asked) lines.advance();
        if (read)
            play(last_channel, last_position);
        else if (ready)
            valid = false;
    }

    void record(Recorder& state) const {
        lines.record(state), vectors.record(state), halves.record(state);
        state(gearbox.stored), state(gearbox.given), state(gearbox.ended), state(channels_held[0]);
        state(channels_held[1]), state(written), state(channel), state(position), state(first_channel), state(tile);
        state(valid);
        if (valid) state(accumulate), state(last), state(steps);
        state.page(tile_base), state.page(group_base), state(offset);
    }

private:
    uint32_t chunk_bytes(uint32_t channels) const {
        return (channels * c.line_bytes + c.alignment - 1) / c.alignment * c.alignment;
    }

    void next_command() {
        const uint32_t row_bytes = chunk_bytes(lines.channels_in_tile);
        const uint64_t next_group = group_base + chunk_bytes(lines.image_channels);
        group_base = next_group;
        if (!lines.last_inner) return;
        if (lines.last_channels)  // the next tokens meet the same weights
            tile_base = group_base = job->weights, offset = 0;
        else if (lines.last_portion)
            tile_base = next_group, offset = 0;
        else
            group_base = tile_base, offset += row_bytes;
    }

    void play(bool last_channel, bool last_position) {
        valid = true;
        steps = job->steps[uint64_t(tile) * job->channels + first_channel + channel];
        accumulate = !vectors.first_inner;
        last = last_channel;
        channel = last_channel ? 0 : channel + 1;
        if (!last_channel) return;
        position = last_position ? 0 : position + 1;
        ++tile;
        if (vectors.last_inner) {
            tile = 0;
            first_channel = vectors.last_channels ? 0 : first_channel + vectors.channels_in_tile;
        }
        vectors.advance();
    }
};

}  // namespace fineq
