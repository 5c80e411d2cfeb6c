/* The C driver with flat arguments, for ctypes. */
#include "fineq.h"

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

int host_load(uint32_t number, const uint8_t *blocks, uint32_t channels, uint32_t inner, const uint32_t *scales,
              const int32_t *biases)
{
    uint32_t channel;

    for (channel = 0u; scales && channel < channels; channel++) {
        struct fineq_channel *record = &channels_of[number][channel];

        record->reserved = 0u;
        record->bias = biases[channel];
        if (!fineq_scale(scales[channel], &record->multiplier, &record->shift))
            return FINEQ_BAD_ARGUMENT;
    }
    return fineq_load_layer(&device, &layers[number], blocks, channels, inner, scales ? channels_of[number] : NULL);
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
