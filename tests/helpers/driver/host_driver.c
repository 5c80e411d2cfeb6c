/* The C driver with flat arguments, for ctypes. */
#include "fineq_private.h"

#define MOST 4

static struct fineq device;
static struct fineq_port port;
static struct fineq_layer layers[MOST];
static struct fineq_job jobs[MOST];
static struct fineq_channel channels_of[MOST][256];
static struct fineq_token tokens_of[MOST][256];

int host_probe(uint32_t (*read)(void *, uint32_t), void (*write)(void *, uint32_t, uint32_t),
               void (*clean)(void *, const void *, size_t), void (*drop)(void *, const void *, size_t), uint8_t *memory,
               uint64_t address, size_t bytes)
{
    port.read = read;
    port.write = write;
    port.clean = clean;
    port.drop = drop;
    return fineq_probe(&device, &port, memory, address, bytes);
}

/* Blocks, or integers where there are no blocks. */
int host_load(uint32_t number, const uint8_t *blocks, const int8_t *integers, uint32_t channels, uint32_t inner,
              const uint32_t *scales, const int32_t *biases)
{
    const struct fineq_channel *records = scales ? channels_of[number] : NULL;
    uint32_t channel;

    for (channel = 0u; scales && channel < channels; channel++) {
        struct fineq_channel *record = &channels_of[number][channel];

        record->reserved = 0u;
        record->bias = biases[channel];
        if (!fineq_scale(scales[channel], &record->multiplier, &record->shift))
            return FINEQ_BAD_ARGUMENT;
    }
    if (integers)
        return fineq_load_integers(&device, &layers[number], integers, channels, inner, records);
    return fineq_load_layer(&device, &layers[number], blocks, channels, inner, records);
}

/* Inputs by vector and column of a row on a temporal array that is nowhere; returns the vectors. */
uint32_t host_inputs(uint32_t columns, uint32_t slices, uint32_t encoding, uint32_t inner, uint32_t *inputs)
{
    struct fineq array = {0};
    struct order order;
    uint32_t vector, column;

    array.kind = FINEQ_KIND_TEMPORAL;
    array.encoding = encoding;
    array.columns = columns;
    array.line_slices = slices;
    order = fineq_order(&array, inner);
    for (vector = 0u; vector < order.vectors; vector++)
        for (column = 0u; column < columns; column++)
            *inputs++ = fineq_input(&array, &order, vector, column);
    return order.vectors;
}

void host_unpack(const uint8_t *row, uint32_t inner, int32_t *weights)
{
    uint32_t input;

    for (input = 0u; input < inner; input++)
        weights[input] = fineq_packed_weight(row, input);
}

int host_job(uint32_t number, uint32_t layer, const int8_t *activations, uint32_t tokens, const uint32_t *scales,
             int output, int function, uint32_t multiplier, uint32_t shift)
{
    struct fineq_job *job = &jobs[number];
    uint32_t token;

    for (token = 0u; scales && token < tokens; token++) {
        tokens_of[number][token].reserved = 0u;
        if (!fineq_scale(scales[token], &tokens_of[number][token].multiplier, &tokens_of[number][token].shift))
            return FINEQ_BAD_ARGUMENT;
    }
    job->layer = &layers[layer];
    job->activations = activations;
    job->tokens = tokens;
    job->scales = scales ? tokens_of[number] : NULL;
    job->output = (enum fineq_output)output;
    job->function = (enum fineq_function)function;
    job->full_length = false;
    job->requantize_multiplier = (uint16_t)multiplier;
    job->requantize_shift = (uint8_t)shift;
    job->tag = number;
    return FINEQ_OK;
}

size_t host_planned(uint32_t layer_count, uint32_t job_count, int scaled)
{
    size_t bytes = 0u;
    uint32_t number;

    for (number = 0u; number < layer_count; number++)
        bytes += fineq_layer_bytes(&device, layers[number].channels, layers[number].inner, scaled != 0);
    for (number = 0u; number < job_count; number++)
        bytes += fineq_job_bytes(&device, &jobs[number]);
    return bytes;
}

size_t host_used(void)
{
    return device.memory_used;
}

int host_run(uint32_t count, uint32_t polls)
{
    return fineq_run(&device, jobs, count, polls);
}

void host_results(uint32_t number, int32_t *results)
{
    uint32_t token, channel;

    for (token = 0u; token < jobs[number].tokens; token++)
        for (channel = 0u; channel < jobs[number].layer->channels; channel++)
            *results++ = fineq_result(&jobs[number], token, channel);
}

uint64_t host_counter(int counter)
{
    return fineq_counter(&device, (enum fineq_counter)counter);
}

const char *host_failure(void)
{
    return fineq_error_text(fineq_last_error(&device).code);
}

int host_scale(uint32_t bits, uint16_t *multiplier, uint8_t *shift)
{
    return fineq_scale(bits, multiplier, shift);
}
