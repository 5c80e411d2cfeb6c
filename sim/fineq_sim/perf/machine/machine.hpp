// The whole machine, cycle by cycle: what its streams move, and what the performance counters see of it.

#pragma once

#include "decode.hpp"
#include "job.hpp"
#include "memory_access.hpp"
#include "multiply.hpp"
#include "output.hpp"
#include "preload.hpp"
#include "vector.hpp"
#include "write_back.hpp"

namespace fineq {

template <class Core>
struct Machine {
    const Constants& c;
    MemoryTiming memory;
    JobControl control;
    DescriptorUnit descriptors;
    ReadDma reader;
    InputBuffer inputs;
    WeightBuffer weights;
    Core core;
    OutputBuffer outputs;
    ParameterBuffer parameters;
    VectorUnit vectors;
    WriteBack write_back;
    WriteDma writer;
    Counters counters;
    // Events of the last cycle.
    bool job_starts = false, token_tile_asked = false;

    Machine(const Constants& constants, const Job* jobs, uint32_t count, const MemoryParameters& timing)
        : c(constants), memory(c.bus_bytes), descriptors(c, jobs, count), reader(c), inputs(c), weights(c), core(c),
          outputs(c), parameters(c), vectors(c), write_back(c), writer(c) {
        memory.configure(timing);
    }

    bool busy() const { return control.busy(); }

    // One clock cycle; `start`: of the chain.
    void step(bool start) {
        memory.begin();
        const bool working = inputs.busy() || weights.busy() || outputs.busy() || parameters.busy() ||
                             vectors.busy() || write_back.busy();
        const bool job_start = control.starts(descriptors.valid), job_done = control.ends(working, writer.idle());
        const Job& job = descriptors.job();
        const bool narrow = job.narrow;

        // From the write port back to the array.
        const bool words_ready = writer.ready(memory.write_ready), put = vectors.word_valid && words_ready;
        const bool issue = writer.issues(memory.write_address_ready);
        const bool write_asked = write_back.walk.active && writer.splitter.ready(issue);
        const bool vectors_ready = vectors.ready(words_ready, narrow);
        const bool groups_taken = parameters.reads(outputs.groups_valid, vectors_ready);
        const CoreInputs in = {inputs.valid,       inputs.last,   weights.valid,          weights.accumulate,
                               weights.last,       weights.steps, outputs.partials_valid, outputs.results_ready()};
        const CoreOutputs out = core.outputs(in);
        const bool result = core.results_valid && in.results_ready;

        // The read port and its clients.
        const uint32_t of_descriptor = c.client_descriptor, of_inputs = c.client_activations;
        const uint32_t of_parameters = c.client_parameters, of_weights = c.client_weights;
        const bool line_taken = reader.offers(of_weights) && weights.gearbox.ready();
        const bool input_taken = reader.offers(of_inputs), parameter_taken = reader.offers(of_parameters);
        const bool descriptor_taken = reader.offers(of_descriptor) && descriptors.takes_words();
        const bool taken = line_taken || input_taken || parameter_taken || descriptor_taken;
        const bool word_last = reader.word_last, beat = memory.read_valid && reader.takes_word(taken);
        const uint32_t issued = reader.issues(memory.read_address_ready);
        const bool inputs_ask = inputs.asks(weights.hungry());
        bool asked[CHANNELS] = {};
        Transfer commands[CHANNELS] = {};
        const auto ask = [&](uint32_t client, bool asking, const auto& block) {
            asked[client] = asking && reader.splitters[client].ready(issued == client);
            if (asked[client]) commands[client] = block.command();
        };
        ask(of_descriptor, descriptors.asks(), descriptors);
        ask(of_inputs, inputs_ask, inputs);
        ask(of_parameters, parameters.asks(), parameters);
        ask(of_weights, weights.asks(), weights);

        count(out, in, beat, vectors_ready, job_done);
        job_starts = job_start;
        token_tile_asked = asked[of_weights] && weights.lines.last_inner && weights.lines.last_channels;

        const uint32_t word_bytes = vectors.word_bytes;
        const bool result_last = core.results_last, scaled = parameters.valid;
        const Group group = outputs.groups, scaled_group = parameters.scaled;
        const Transfer written = write_asked ? write_back.command() : Transfer{};
        writer.tick(issue, put, word_bytes, write_asked, written, memory);
        reader.tick(asked, commands, issued, taken, beat, memory);
        memory.end();
        write_back.tick(write_asked);
        vectors.tick(words_ready, scaled, scaled_group, narrow);
        parameters.tick(asked[of_parameters], parameter_taken && word_last, groups_taken, group, vectors_ready);
        outputs.tick(result, result_last, out.partials_ready, groups_taken);
        core.tick(in, out, counters);
        weights.tick(asked[of_weights], line_taken, word_last, out.vectors_ready);
        inputs.tick(inputs_ask, asked[of_inputs], input_taken && word_last, out.rows_ready);
        control.tick(start, job_start, job_done, descriptors.last());
        if (job_start) begin(job);
        descriptors.tick(start, asked[of_descriptor], descriptor_taken && word_last, job_done);
    }

    void record(Recorder& state) const {
        memory.record(state), state(control.state), descriptors.record(state), reader.record(state);
        inputs.record(state), weights.record(state), core.record(state), outputs.record(state);
        parameters.record(state), vectors.record(state), write_back.record(state), writer.record(state);
    }

private:
    void begin(const Job& job) {
        inputs.start(job), weights.start(job), outputs.start(job), parameters.start(job), write_back.start(job);
    }

    // What `Accelerator._elaborate_events` counts.
    void count(const CoreOutputs& out, const CoreInputs& in, bool beat, bool vectors_ready, bool job_done) {
        const bool line = weights.gearbox.line_valid(), row = in.row_valid && out.rows_ready;
        const bool word = writer.word_valid && memory.write_ready;
        counters.cycles += control.busy();
        counters.memory_access_busy += beat;
        counters.memory_access_stall += !beat && !reader.idle();
        counters.decode_busy += line;
        counters.decode_stall += !line && weights.decoding();
        counters.preload_busy += row;
        counters.preload_stall += inputs.busy() && out.rows_ready && !in.row_valid;
        counters.multiply_busy += out.computing;
        counters.multiply_stall += !out.rows_ready && !out.computing;
        counters.vector_busy += parameters.valid && vectors_ready;
        counters.vector_stall += parameters.valid && !vectors_ready;
        counters.write_back_busy += word;
        counters.write_back_stall += writer.word_valid && !memory.write_ready;
        counters.weight_vectors += in.vector_valid && out.vectors_ready;
        counters.tiles += row && in.row_last;
        counters.bytes_read += beat ? c.bus_bytes : 0;
        counters.bytes_written += word ? writer.word_bytes : 0;
        counters.jobs += job_done;
    }
};

}  // namespace fineq
