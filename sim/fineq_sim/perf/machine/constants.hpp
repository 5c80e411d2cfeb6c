// What the twin must know of the machine and of a job, and what it counts. Every number comes from Python
// (`fineq_sim.perf.constants`), which takes it from where the RTL has it; names and order are checked on loading.

#pragma once

#include <cstdint>

namespace fineq {

// By room: array and encoding, bus and engines, sizes in memory, vector unit, descriptor unit, channels of the read
// engine by priority, turns of a job's regions and the quotients that each waits for.
#define FINEQ_CONSTANTS(X)                                                                                          \
    X(rows) X(channels_per_tile) X(final_channels) X(mac) X(mac_latency) X(full_steps) X(partial_in_last_step)      \
    X(bus_bytes) X(page_bytes) X(max_burst_beats) X(outstanding_reads) X(outstanding_writes) X(gather_depth)        \
    X(addresses_ahead) X(alignment) X(line_bytes) X(line_slices) X(activation_tile_bytes) X(token_tile_bytes)       \
    X(channel_bytes) X(token_bytes) X(vector_lanes) X(vector_words) X(wide_bytes) X(vector_lane_latency)         \
    X(descriptor_bytes) X(quotient_cycles) X(client_descriptor) X(client_activations)                  \
    X(client_parameters) X(client_weights) X(turn_destination) X(turn_activations) X(turn_weights)                  \
    X(turn_channel_parameters) X(turn_token_parameters) X(turn_descriptor) X(turn_next) X(after_destination)        \
    X(after_activations) X(after_weights) X(after_channel_parameters) X(after_token_parameters)                     \
    X(after_descriptor) X(after_next)

// Fields of a descriptor, where it lies, and what follows from its sizes. `plain`: sums without parameters; `narrow`:
// results of one byte.
#define FINEQ_JOB(X)                                                                                                \
    X(descriptor) X(tokens) X(channels) X(inner_tiles) X(line_groups) X(activations) X(activation_stride)           \
    X(weights) X(channel_parameters) X(token_parameters) X(destination) X(destination_stride) X(result_bytes)       \
    X(plain) X(narrow)

#define FINEQ_COUNTERS(X)                                                                                           \
    X(cycles) X(memory_access_busy) X(memory_access_stall) X(decode_busy) X(decode_stall) X(preload_busy)           \
    X(preload_stall) X(multiply_busy) X(multiply_stall) X(vector_busy) X(vector_stall) X(write_back_busy)           \
    X(write_back_stall) X(weight_vectors) X(terminated_cycles) X(tiles) X(bytes_read) X(bytes_written) X(jobs)

#define FINEQ_FIELD(name) int64_t name;
struct Constants {
    FINEQ_CONSTANTS(FINEQ_FIELD)
};
struct Job {
    FINEQ_JOB(FINEQ_FIELD)
    const uint8_t* steps;  // of each weight vector, [inner_tiles][channels]
};
#undef FINEQ_FIELD

#define FINEQ_FIELD(name) uint64_t name = 0;
struct Counters {
    FINEQ_COUNTERS(FINEQ_FIELD)
};
#undef FINEQ_FIELD

}  // namespace fineq
