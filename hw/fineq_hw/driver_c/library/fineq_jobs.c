/* FineQ: jobs, alone and in chains; see fineq.h. */
#include "fineq_private.h"

static size_t tile_bytes(const struct fineq *device)
{
    return aligned(device->columns);
}

static size_t token_tile_bytes(const struct fineq *device)
{
    return aligned((size_t)device->rows * FINEQ_TOKEN_BYTES);
}

static uint32_t result_size(const struct fineq_job *job)
{
    return job->output == FINEQ_OUTPUT_INT8 ? 1u : 4u;
}

size_t fineq_job_bytes(const struct fineq *device, const struct fineq_job *job)
{
    struct order order = fineq_order(device, job->layer->inner);
    size_t bytes = FINEQ_DESCRIPTOR_BYTES + (size_t)job->tokens * order.vectors * tile_bytes(device);

    if (job->output != FINEQ_OUTPUT_SUMS)
        bytes += parts(job->tokens, device->rows) * token_tile_bytes(device);
    return bytes + job->tokens * aligned((size_t)job->layer->channels * result_size(job));
}

static int check_job(const struct fineq_job *job)
{
    if (!job->tokens || job->tokens > FINEQ_MAX_LAYER_SIZE || job->output > FINEQ_OUTPUT_INT8)
        return FINEQ_BAD_ARGUMENT;
    if (job->output != FINEQ_OUTPUT_SUMS && (!job->scales || !job->layer->parameters))
        return FINEQ_BAD_ARGUMENT;
    return FINEQ_OK;
}

static uint64_t store_activations(struct fineq *device, const struct fineq_job *job, const struct order *order)
{
    uint32_t token, vector, column, input;
    size_t width = tile_bytes(device), row = order->vectors * width, bytes = job->tokens * row;
    uint8_t *image = fineq_take(device, bytes), *at = image;

    if (!image)
        return 0u;
    for (vector = 0u; vector < order->vectors; vector++)
        for (column = 0u; column < width; column++, at++) {
            input = column < device->columns ? fineq_input(device, order, vector, column) : NO_INPUT;
            for (token = 0u; token < job->tokens; token++)
                at[token * row] =
                    input == NO_INPUT ? 0u : (uint8_t)job->activations[(size_t)token * order->inner + input];
        }
    clean(device, image, bytes);
    return fineq_address(device, image);
}

static uint64_t store_tokens(struct fineq *device, const struct fineq_job *job)
{
    size_t width = token_tile_bytes(device), bytes = parts(job->tokens, device->rows) * width, at;
    uint8_t *image = fineq_take(device, bytes);
    uint32_t token;

    if (!image)
        return 0u;
    for (at = 0u; at < bytes; at++)
        image[at] = 0u;
    for (token = 0u; token < job->tokens; token++)
        fineq_encode_token(image + token / device->rows * width + (size_t)(token % device->rows) * FINEQ_TOKEN_BYTES,
                           &job->scales[token]);
    clean(device, image, bytes);
    return fineq_address(device, image);
}

/* Lay out one job; false: no memory. Address 0 cannot be taken for a failure: the descriptors are taken first. */
static bool lay_out(struct fineq *device, struct fineq_job *job, struct fineq_descriptor *descriptor)
{
    const struct fineq_layer *layer = job->layer;
    const struct fineq_descriptor empty = {0};
    const struct order order = fineq_order(device, layer->inner);
    uint8_t *results;

    *descriptor = empty;
    job->result_stride = (uint32_t)aligned((size_t)layer->channels * result_size(job));
    results = fineq_take(device, (size_t)job->tokens * job->result_stride);
    if (!results)
        return false;
    job->results = results;
    descriptor->operation = FINEQ_OPERATION_LINEAR;
    descriptor->output_format = (uint8_t)job->output;
    descriptor->function = (uint8_t)job->function;
    descriptor->early_termination = !job->full_length;
    descriptor->tag = job->tag;
    descriptor->tokens = job->tokens;
    descriptor->channels = layer->channels;
    descriptor->inner = fineq_stored_inner(device, &order);
    descriptor->requantize_multiplier = job->requantize_multiplier;
    descriptor->requantize_shift = job->requantize_shift;
    descriptor->weights = layer->weights;
    descriptor->destination = fineq_address(device, results);
    descriptor->destination_stride = job->result_stride;
    descriptor->activation_stride = (uint32_t)(order.vectors * tile_bytes(device));
    descriptor->activations = store_activations(device, job, &order);
    if (job->output != FINEQ_OUTPUT_SUMS) {
        descriptor->channel_parameters = layer->parameters;
        descriptor->token_parameters = store_tokens(device, job);
        if (!descriptor->token_parameters)
            return false;
    }
    /* No line of the results may be written back over what the machine writes. */
    clean(device, results, (size_t)job->tokens * job->result_stride);
    return descriptor->activations != 0u;
}

int fineq_prepare(struct fineq *device, struct fineq_job *jobs, uint32_t count, uint64_t *first)
{
    size_t before = device->memory_used, bytes = (size_t)count * FINEQ_DESCRIPTOR_BYTES;
    struct fineq_descriptor descriptor;
    uint8_t *descriptors;
    uint32_t job;
    int status = count ? FINEQ_OK : FINEQ_BAD_ARGUMENT;

    for (job = 0u; job < count && !status; job++)
        status = check_job(&jobs[job]);
    if (status)
        return status;
    descriptors = fineq_take(device, bytes);
    for (job = 0u; job < count; job++) {
        if (!descriptors || !lay_out(device, &jobs[job], &descriptor)) {
            fineq_give_back(device, before);
            return FINEQ_NO_MEMORY;
        }
        descriptor.last = job == count - 1u;
        descriptor.interrupt = descriptor.last;
        if (!descriptor.last)
            descriptor.next = fineq_address(device, descriptors) + (uint64_t)(job + 1u) * FINEQ_DESCRIPTOR_BYTES;
        fineq_encode_descriptor(descriptors + (size_t)job * FINEQ_DESCRIPTOR_BYTES, &descriptor);
    }
    clean(device, descriptors, bytes);
    *first = fineq_address(device, descriptors);
    return FINEQ_OK;
}

int fineq_start(struct fineq *device, uint64_t first, bool interrupt)
{
    if (fineq_busy(device))
        return FINEQ_BUSY;
    clear_flags(device);
    write_register(device, FINEQ_REG_INTERRUPT_ENABLE,
                   interrupt ? FINEQ_INTERRUPT_ENABLE_DONE_MASK | FINEQ_INTERRUPT_ENABLE_ERROR_MASK : 0u);
    write_long(device, FINEQ_REG_DESCRIPTOR, first);
    write_register(device, FINEQ_REG_CONTROL, FINEQ_CONTROL_START_MASK | FINEQ_CONTROL_CLEAR_COUNTERS_MASK);
    return FINEQ_OK;
}

int fineq_finish(struct fineq *device, struct fineq_job *jobs, uint32_t count)
{
    uint32_t status = read_register(device, FINEQ_REG_STATUS), job;

    if (status & FINEQ_STATUS_BUSY_MASK)
        return FINEQ_BUSY;
    write_register(device, FINEQ_REG_INTERRUPT_ENABLE, 0u);
    for (job = 0u; job < count; job++)
        drop(device, jobs[job].results, (size_t)jobs[job].tokens * jobs[job].result_stride);
    return status & FINEQ_STATUS_ERROR_MASK ? FINEQ_REFUSED : FINEQ_OK;
}

int fineq_abort(struct fineq *device, uint32_t polls)
{
    uint32_t poll;

    write_register(device, FINEQ_REG_CONTROL, FINEQ_CONTROL_SOFT_RESET_MASK);
    for (poll = 0u; poll < polls && fineq_busy(device); poll++) {
    }
    if (fineq_busy(device))
        return FINEQ_TIMEOUT;
    clear_flags(device);
    return FINEQ_OK;
}

int fineq_run(struct fineq *device, struct fineq_job *jobs, uint32_t count, uint32_t polls)
{
    uint64_t first;
    uint32_t poll;
    int status = fineq_prepare(device, jobs, count, &first);

    if (!status)
        status = fineq_start(device, first, false);
    if (status)
        return status;
    for (poll = 0u; poll < polls && fineq_busy(device); poll++) {
    }
    if (fineq_busy(device)) {
        (void)fineq_abort(device, ABORT_POLLS);
        return FINEQ_TIMEOUT;
    }
    return fineq_finish(device, jobs, count);
}

int32_t fineq_result(const struct fineq_job *job, uint32_t token, uint32_t channel)
{
    const uint8_t *at = job->results + (size_t)token * job->result_stride + (size_t)channel * result_size(job);
    uint32_t word = at[0];

    if (job->output == FINEQ_OUTPUT_INT8)
        return word < 128u ? (int32_t)word : (int32_t)word - 256;
    word |= (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    return word < 0x80000000u ? (int32_t)word : -1 - (int32_t)~word;
}
