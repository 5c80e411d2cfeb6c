/* FineQ: see fineq.h. */
#include "fineq.h"

#define ABORT_POLLS 100000u
#define KIND_TEMPORAL 0u

static uint32_t read_register(const struct fineq *device, uint32_t offset)
{
    return device->port->read(device->port->context, offset);
}

static void write_register(const struct fineq *device, uint32_t offset, uint32_t value)
{
    device->port->write(device->port->context, offset, value);
}

static uint64_t read_long(const struct fineq *device, uint32_t offset)
{
    uint64_t low = read_register(device, offset); /* the low word first: it holds the high one of a counter */

    return low | (uint64_t)read_register(device, offset + 4u) << 32;
}

static void write_long(const struct fineq *device, uint32_t offset, uint64_t value)
{
    write_register(device, offset, (uint32_t)value);
    write_register(device, offset + 4u, (uint32_t)(value >> 32));
}

#define FIELD(word, name) (((word) & name##_MASK) >> name##_SHIFT)

static void clean(const struct fineq *device, const void *start, size_t bytes)
{
    if (device->port->clean)
        device->port->clean(device->port->context, start, bytes);
}

static void drop(const struct fineq *device, const void *start, size_t bytes)
{
    if (device->port->drop)
        device->port->drop(device->port->context, start, bytes);
}

static size_t aligned(size_t bytes)
{
    return (bytes + FINEQ_ALIGNMENT - 1u) / FINEQ_ALIGNMENT * FINEQ_ALIGNMENT;
}

static uint32_t parts(uint32_t whole, uint32_t part)
{
    return (whole + part - 1u) / part;
}

uint32_t fineq_mmio_read(void *context, uint32_t offset)
{
    return *(volatile uint32_t *)((uint8_t *)context + offset);
}

void fineq_mmio_write(void *context, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)((uint8_t *)context + offset) = value;
}

static void clear_flags(const struct fineq *device)
{
    write_register(device, FINEQ_REG_STATUS,
                   FINEQ_STATUS_DONE_MASK | FINEQ_STATUS_ERROR_MASK | FINEQ_STATUS_ACCESS_ERROR_MASK |
                       FINEQ_STATUS_JOB_DONE_MASK);
}

bool fineq_busy(const struct fineq *device)
{
    return (read_register(device, FINEQ_REG_STATUS) & FINEQ_STATUS_BUSY_MASK) != 0u;
}

static int identify(struct fineq *device)
{
    uint32_t version = read_register(device, FINEQ_REG_VERSION);
    uint32_t size = read_register(device, FINEQ_REG_ARRAY_SIZE);
    uint32_t kind = read_register(device, FINEQ_REG_ARRAY_KIND);
    uint32_t bus = read_register(device, FINEQ_REG_MEMORY_BUS);
    uint32_t tile = read_register(device, FINEQ_REG_TILE);

    if (FIELD(version, FINEQ_VERSION_MAJOR) != FINEQ_VERSION_MAJOR ||
        FIELD(version, FINEQ_VERSION_MINOR) < FINEQ_VERSION_MINOR)
        return FINEQ_WRONG_VERSION;
    device->rows = FIELD(size, FINEQ_ARRAY_SIZE_ROWS);
    device->columns = FIELD(size, FINEQ_ARRAY_SIZE_COLUMNS);
    device->kind = FIELD(kind, FINEQ_ARRAY_KIND_KIND);
    device->encoding = FIELD(kind, FINEQ_ARRAY_KIND_ENCODING);
    device->weight_bits = FIELD(kind, FINEQ_ARRAY_KIND_WEIGHT_BITS);
    device->accumulator_bits = FIELD(kind, FINEQ_ARRAY_KIND_ACCUMULATOR_BITS);
    device->bus_bytes = FIELD(bus, FINEQ_MEMORY_BUS_BUS_BYTES);
    device->address_bits = FIELD(bus, FINEQ_MEMORY_BUS_ADDRESS_BITS);
    device->channels_per_tile = FIELD(tile, FINEQ_TILE_CHANNELS_PER_TILE);
    device->line_bytes = FIELD(tile, FINEQ_TILE_LINE_BYTES);
    device->max_inner = read_register(device, FINEQ_REG_MAX_INNER);
    if (!device->rows || !device->columns || !device->channels_per_tile || !device->line_bytes ||
        FIELD(bus, FINEQ_MEMORY_BUS_ALIGNMENT) != FINEQ_ALIGNMENT)
        return FINEQ_UNKNOWN_MACHINE;
    device->line_slices = 1u;
    if (device->kind == KIND_TEMPORAL) {
        if (device->encoding > FINEQ_ENCODING_CLUSTER || device->line_bytes % FINEQ_BLOCK_BYTES)
            return FINEQ_UNKNOWN_MACHINE;
        device->line_slices = device->line_bytes / FINEQ_BLOCK_BYTES * FINEQ_BLOCK_WEIGHTS / device->columns;
    }
    return FINEQ_OK;
}

int fineq_probe(struct fineq *device, const struct fineq_port *port, void *memory, uint64_t address, size_t bytes)
{
    int status;

    device->port = port;
    device->memory = memory;
    device->memory_address = address;
    device->memory_bytes = bytes;
    device->memory_used = 0u;
    if (read_register(device, FINEQ_REG_MAGIC) != FINEQ_MAGIC)
        return FINEQ_NOT_FOUND;
    status = identify(device);
    if (status)
        return status;
    if (address % FINEQ_ALIGNMENT || (uintptr_t)memory % FINEQ_ALIGNMENT)
        return FINEQ_MISALIGNED;
    if (!bytes || (device->address_bits < 64u && (address + bytes - 1u) >> device->address_bits))
        return FINEQ_NO_MEMORY;
    status = fineq_abort(device, ABORT_POLLS);
    if (status)
        return status;
    write_long(device, FINEQ_REG_MEMORY_BASE, address);
    write_long(device, FINEQ_REG_MEMORY_LIMIT, address + bytes - 1u);
    return FINEQ_OK;
}

void *fineq_take(struct fineq *device, size_t bytes)
{
    uint8_t *start = device->memory + device->memory_used;

    if (bytes > device->memory_bytes || aligned(bytes) > device->memory_bytes - device->memory_used)
        return NULL;
    device->memory_used += aligned(bytes);
    return start;
}

void fineq_give_back(struct fineq *device, size_t memory_used)
{
    device->memory_used = memory_used;
}

uint64_t fineq_address(const struct fineq *device, const void *pointer)
{
    return device->memory_address + (uint64_t)((const uint8_t *)pointer - device->memory);
}

/* -- layers ------------------------------------------------------------------------------------------------------ */

static uint32_t inner_tiles(const struct fineq *device, uint32_t inner)
{
    return parts(inner, device->columns);
}

static uint32_t line_groups(const struct fineq *device, uint32_t inner)
{
    return parts(inner_tiles(device, inner), device->line_slices);
}

static size_t chunk_bytes(const struct fineq *device, uint32_t channels)
{
    return aligned((size_t)channels * device->line_bytes);
}

static size_t image_bytes(const struct fineq *device, uint32_t channels, uint32_t inner)
{
    uint32_t whole = channels / device->channels_per_tile, rest = channels % device->channels_per_tile;

    return line_groups(device, inner) *
           (whole * chunk_bytes(device, device->channels_per_tile) + (rest ? chunk_bytes(device, rest) : 0u));
}

size_t fineq_layer_bytes(const struct fineq *device, uint32_t channels, uint32_t inner, bool scaled)
{
    return image_bytes(device, channels, inner) + (scaled ? aligned((size_t)channels * FINEQ_CHANNEL_BYTES) : 0u);
}

static int check_layer(const struct fineq *device, uint32_t channels, uint32_t inner)
{
    if (!channels || channels > FINEQ_MAX_LAYER_SIZE || !inner || inner > device->max_inner)
        return FINEQ_BAD_ARGUMENT;
    return FINEQ_OK;
}

static int store_scales(struct fineq *device, struct fineq_layer *layer, const struct fineq_channel *scales)
{
    size_t bytes = (size_t)layer->channels * FINEQ_CHANNEL_BYTES;
    uint8_t *records;
    uint32_t channel;

    layer->parameters = 0u;
    if (!scales)
        return FINEQ_OK;
    records = fineq_take(device, bytes);
    if (!records)
        return FINEQ_NO_MEMORY;
    for (channel = 0u; channel < layer->channels; channel++)
        fineq_encode_channel(records + (size_t)channel * FINEQ_CHANNEL_BYTES, &scales[channel]);
    clean(device, records, aligned(bytes));
    layer->parameters = fineq_address(device, records);
    return FINEQ_OK;
}

int fineq_place_layer(struct fineq *device, struct fineq_layer *layer, const void *image, uint32_t channels,
                      uint32_t inner, const struct fineq_channel *scales)
{
    int status = check_layer(device, channels, inner);

    if (status)
        return status;
    layer->channels = channels;
    layer->inner = inner;
    layer->weights = fineq_address(device, image);
    if (layer->weights % FINEQ_ALIGNMENT)
        return FINEQ_MISALIGNED;
    return store_scales(device, layer, scales);
}

/* One line of a channel: the blocks that are there, zeros behind them. */
static void copy_line(const struct fineq *device, uint8_t *line, const uint8_t *row, size_t row_bytes, uint32_t group)
{
    size_t start = (size_t)group * device->line_bytes, at;

    for (at = 0u; at < device->line_bytes; at++)
        line[at] = start + at < row_bytes ? row[start + at] : 0u;
}

int fineq_load_layer(struct fineq *device, struct fineq_layer *layer, const uint8_t *blocks, uint32_t channels,
                     uint32_t inner, const struct fineq_channel *scales)
{
    size_t row_bytes = (size_t)parts(inner, FINEQ_BLOCK_WEIGHTS) * FINEQ_BLOCK_BYTES;
    size_t before = device->memory_used, bytes, at;
    uint32_t groups, first, group, count, channel;
    uint8_t *image, *chunk;
    int status = check_layer(device, channels, inner);

    if (status)
        return status;
    if (device->kind != KIND_TEMPORAL || device->encoding == FINEQ_ENCODING_CLUSTER)
        return FINEQ_NEEDS_IMAGE;
    bytes = image_bytes(device, channels, inner);
    image = fineq_take(device, bytes);
    if (!image)
        return FINEQ_NO_MEMORY;
    groups = line_groups(device, inner);
    chunk = image;
    for (first = 0u; first < channels; first += count) {
        count = channels - first < device->channels_per_tile ? channels - first : device->channels_per_tile;
        for (group = 0u; group < groups; group++) {
            for (channel = 0u; channel < count; channel++)
                copy_line(device, chunk + (size_t)channel * device->line_bytes,
                          blocks + (first + channel) * row_bytes, row_bytes, group);
            for (at = (size_t)count * device->line_bytes; at < chunk_bytes(device, count); at++)
                chunk[at] = 0u;
            chunk += chunk_bytes(device, count);
        }
    }
    clean(device, image, bytes);
    status = fineq_place_layer(device, layer, image, channels, inner, scales);
    if (status)
        fineq_give_back(device, before);
    return status;
}

/* -- jobs -------------------------------------------------------------------------------------------------------- */

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
    size_t bytes = FINEQ_DESCRIPTOR_BYTES + (size_t)job->tokens * inner_tiles(device, job->layer->inner) * tile_bytes(device);

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

static uint64_t store_activations(struct fineq *device, const struct fineq_job *job)
{
    uint32_t inner = job->layer->inner, tiles = inner_tiles(device, inner), token, tile, column, input;
    size_t width = tile_bytes(device), bytes = (size_t)job->tokens * tiles * width;
    uint8_t *image = fineq_take(device, bytes), *at = image;

    if (!image)
        return 0u;
    for (token = 0u; token < job->tokens; token++)
        for (tile = 0u; tile < tiles; tile++, at += width)
            for (column = 0u; column < width; column++) {
                input = tile * device->columns + column;
                at[column] = column < device->columns && input < inner
                                 ? (uint8_t)job->activations[(size_t)token * inner + input]
                                 : 0u;
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
    descriptor->inner = layer->inner;
    descriptor->requantize_multiplier = job->requantize_multiplier;
    descriptor->requantize_shift = job->requantize_shift;
    descriptor->weights = layer->weights;
    descriptor->destination = fineq_address(device, results);
    descriptor->destination_stride = job->result_stride;
    descriptor->activation_stride = (uint32_t)(inner_tiles(device, layer->inner) * tile_bytes(device));
    descriptor->activations = store_activations(device, job);
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

    if (device->kind == KIND_TEMPORAL && device->encoding == FINEQ_ENCODING_CLUSTER)
        return FINEQ_NEEDS_IMAGE; /* it also orders its inputs in a way of its own */
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

bool fineq_scale(uint32_t float_bits, uint16_t *multiplier, uint8_t *shift)
{
    const int32_t most = (1 << FINEQ_SHIFT_BITS) - 1, bits = FINEQ_MULTIPLIER_BITS;
    int32_t exponent = (int32_t)(float_bits >> 23 & 0xFFu), places, away;
    uint32_t mantissa = float_bits & 0x7FFFFFu, rounded, rest;

    if (float_bits >> 31 || exponent == 0xFF || !(float_bits << 1))
        return false;
    if (exponent) {
        mantissa |= 0x800000u; /* the value is mantissa * 2^(exponent - 150) */
    } else {
        exponent = 1;
    }
    places = bits - (exponent - 126);
    if (places > most)
        places = most;
    away = -(exponent - 150 + places); /* so many bits of the mantissa go */
    if (places < 0 || away > 31)
        return false;
    rounded = mantissa >> away;
    rest = mantissa & ((1u << away) - 1u);
    if (rest > 1u << (away - 1) || (rest == 1u << (away - 1) && (rounded & 1u)))
        rounded++; /* halves to the even one */
    if (rounded >> bits) {
        rounded >>= 1;
        places--;
    }
    if (places < 0 || !rounded)
        return false;
    *multiplier = (uint16_t)rounded;
    *shift = (uint8_t)places;
    return true;
}

/* -- outcome ----------------------------------------------------------------------------------------------------- */

uint64_t fineq_counter(const struct fineq *device, enum fineq_counter counter)
{
    return read_long(device, FINEQ_REG_COUNTER_CYCLES + 8u * (uint32_t)counter);
}

struct fineq_failure fineq_last_error(const struct fineq *device)
{
    struct fineq_failure failure;
    uint32_t error = read_register(device, FINEQ_REG_ERROR);

    failure.code = FIELD(error, FINEQ_ERROR_CODE);
    failure.detail = FIELD(error, FINEQ_ERROR_DETAIL);
    failure.address = read_long(device, FINEQ_REG_ERROR_ADDRESS);
    failure.descriptor = read_long(device, FINEQ_REG_CURRENT_DESCRIPTOR);
    failure.jobs_done = read_register(device, FINEQ_REG_JOBS_DONE);
    return failure;
}

const char *fineq_status_text(int status)
{
    switch (status) {
    case FINEQ_OK:
        return "No error.";
    case FINEQ_NOT_FOUND:
        return "There is no FineQ accelerator at these registers.";
    case FINEQ_WRONG_VERSION:
        return "The accelerator has another version than this driver: take the driver of its release.";
    case FINEQ_UNKNOWN_MACHINE:
        return "The accelerator says of itself what this driver does not know.";
    case FINEQ_NO_MEMORY:
        return "The shared memory is full, or the accelerator cannot address it.";
    case FINEQ_MISALIGNED:
        return "Shared memory must begin at a multiple of 16.";
    case FINEQ_BAD_ARGUMENT:
        return "A size is zero or too large, or scales are missing for this output.";
    case FINEQ_NEEDS_IMAGE:
        return "This array takes weights and inputs in an order of its own, which this driver does not prepare.";
    case FINEQ_BUSY:
        return "A chain is running: wait for its end, or abort it.";
    case FINEQ_TIMEOUT:
        return "The accelerator did not come to an end in the time that was given.";
    case FINEQ_REFUSED:
        return "The accelerator ended the chain with an error: fineq_last_error says which.";
    default:
        return "Unknown status.";
    }
}
