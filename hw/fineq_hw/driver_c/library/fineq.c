/* FineQ: the machine and its memory, and what became of a chain; see fineq.h. */
#include "fineq_private.h"

uint32_t fineq_mmio_read(void *context, uint32_t offset)
{
    return *(volatile uint32_t *)((uint8_t *)context + offset);
}

void fineq_mmio_write(void *context, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)((uint8_t *)context + offset) = value;
}

bool fineq_busy(const struct fineq *device)
{
    return (read_register(device, FINEQ_REG_STATUS) & FINEQ_STATUS_BUSY_MASK) != 0u;
}

/* What follows from the kind of the array: how its weights lie in a line. */
static int identify_line(struct fineq *device)
{
    uint32_t number, weights = device->line_bytes / FINEQ_BLOCK_BYTES * FINEQ_BLOCK_WEIGHTS;

    device->line_slices = 1u;
    device->weight = NULL;
    if (device->kind == FINEQ_KIND_TEMPORAL) {
        if (device->encoding >= FINEQ_ENCODINGS || device->line_bytes % FINEQ_BLOCK_BYTES || weights % device->columns)
            return FINEQ_UNKNOWN_MACHINE;
        device->line_slices = weights / device->columns;
        return FINEQ_OK;
    }
    for (number = 0u; number < FINEQ_MAC_WEIGHTS; number++)
        if (fineq_mac_weights[number].bits == device->weight_bits)
            device->weight = &fineq_mac_weights[number];
    if (device->kind != FINEQ_KIND_MAC || !device->weight ||
        device->line_bytes != parts(device->columns * device->weight_bits, 8u))
        return FINEQ_UNKNOWN_MACHINE;
    return FINEQ_OK;
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
    return identify_line(device);
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
        return "A size is zero or too large, a weight is, or scales are missing for this output.";
    case FINEQ_NEEDS_BLOCKS:
        return "This array takes packed blocks, no plain weights: load the layer by fineq_load_layer.";
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
