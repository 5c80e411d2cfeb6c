// The cores: activations, weight vectors and partial sums in, results out. Both have the same streams.

#pragma once

#include <vector>

#include "constants.hpp"
#include "queues.hpp"

namespace fineq {

// What is offered to a core in a cycle.
struct CoreInputs {
    bool row_valid, row_last;                                     // activations
    bool vector_valid, accumulate, last;                          // weights
    uint32_t steps;                                               // of the vector
    bool partials_valid, results_ready;
};

// What a core does in a cycle.
struct CoreOutputs {
    bool rows_ready = false, vectors_ready = false, partials_ready = false, computing = false;
};

// TemporalCore: `steps` cycles a vector.
struct TemporalCore {
    const Constants& c;
    bool computes = false;  // the phase
    bool busy = false, accumulate = false, last = false;
    uint32_t count = 0, final_count = 0;
    bool results_valid = false, results_last = false;

    explicit TemporalCore(const Constants& constants) : c(constants) {}

    CoreOutputs outputs(const CoreInputs& in) const {
        CoreOutputs out;
        const bool stalled = results_valid && !in.results_ready;
        const bool takes_partial = accumulate && (c.partial_in_last_step ? count == final_count : count == 0);
        out.computing = busy && !stalled && (!takes_partial || in.partials_valid);
        out.partials_ready = busy && takes_partial && !stalled;
        out.vectors_ready = computes && (!busy || (out.computing && count == final_count && !last));
        out.rows_ready = !computes;
        return out;
    }

    void tick(const CoreInputs& in, const CoreOutputs& out, Counters& counters) {
        if (in.results_ready) results_valid = false;
        if (out.computing) {
            if (count == final_count) {
                busy = false, count = 0;
                results_valid = true, results_last = last;
                if (last) computes = false;
                counters.terminated_cycles += c.full_steps - (final_count + 1);
            } else {
                ++count;
            }
        }
        if (in.vector_valid && out.vectors_ready) {
            busy = true, accumulate = in.accumulate, last = in.last;
            final_count = in.steps - 1;
        }
        if (out.rows_ready && in.row_valid && in.row_last) computes = true;
    }

    void record(Recorder& state) const {
        state(computes), state(busy), state(results_valid), state(results_valid && results_last), state(count);
        if (busy) state(accumulate), state(last), state(final_count);
    }
};

// MacCore: a vector a cycle through a pipeline that any want of results' room or partial sums freezes as a whole.
struct MacCore {
    enum Phase { LOAD, COMPUTE, DRAIN } phase = LOAD;
    struct Tag {
        bool valid = false, accumulate = false, last = false;
    };
    std::vector<Tag> tags;
    uint32_t head = 0;  // of the ring: where the vector stands that has just entered
    bool results_valid = false, results_last = false;

    explicit MacCore(const Constants& c) : tags(c.mac_latency + 1) {}

    // Tag of the vector that stands so many places before the end of the pipeline.
    Tag& from_end(uint32_t place) { return tags[(head + tags.size() - place) % tags.size()]; }
    const Tag& from_end(uint32_t place) const { return const_cast<MacCore*>(this)->from_end(place); }

    CoreOutputs outputs(const CoreInputs& in) const {
        CoreOutputs out;
        const bool stalled = results_valid && !in.results_ready;
        const bool needs_partial = from_end(2).valid && from_end(2).accumulate;
        const bool advance = !stalled && (!needs_partial || in.partials_valid);
        out.partials_ready = needs_partial && !stalled;
        out.vectors_ready = phase == COMPUTE && advance;
        out.computing = out.vectors_ready && in.vector_valid;
        out.rows_ready = phase == LOAD;
        return out;
    }

    void tick(const CoreInputs& in, const CoreOutputs& out, Counters&) {
        const bool stalled = results_valid && !in.results_ready;
        const bool needs_partial = from_end(2).valid && from_end(2).accumulate;
        if (!stalled && (!needs_partial || in.partials_valid)) {
            if (out.computing && in.last) phase = DRAIN;
            if (from_end(3).valid && from_end(3).last) phase = LOAD;
            head = (head + tags.size() - 1) % tags.size();
            tags[head] = {out.computing, in.accumulate, in.last};
        } else if (in.results_ready) {
            from_end(1).valid = false;
        }
        results_valid = from_end(1).valid, results_last = from_end(1).last;
        if (out.rows_ready && in.row_valid && in.row_last) phase = COMPUTE;
    }

    void record(Recorder& state) const {
        state(phase);
        for (uint32_t place = 1; place <= tags.size(); ++place) {
            const Tag& tag = from_end(place);
            state(tag.valid ? 1 + 2 * tag.accumulate + 4 * tag.last : 0);
        }
    }
};

}  // namespace fineq
