/* FineQ: what the files of the driver share. */
#ifndef FINEQ_PRIVATE_H
#define FINEQ_PRIVATE_H

#include "fineq.h"

#define ABORT_POLLS 100000u
#define NO_INPUT 0xFFFFFFFFu

static inline uint32_t read_register(const struct fineq *device, uint32_t offset)
{
    return device->port->read(device->port->context, offset);
}

static inline void write_register(const struct fineq *device, uint32_t offset, uint32_t value)
{
    device->port->write(device->port->context, offset, value);
}

static inline uint64_t read_long(const struct fineq *device, uint32_t offset)
{
    uint64_t low = read_register(device, offset); /* the low word first: it holds the high one of a counter */

    return low | (uint64_t)read_register(device, offset + 4u) << 32;
}

static inline void write_long(const struct fineq *device, uint32_t offset, uint64_t value)
{
    write_register(device, offset, (uint32_t)value);
    write_register(device, offset + 4u, (uint32_t)(value >> 32));
}

#define FIELD(word, name) (((word) & name##_MASK) >> name##_SHIFT)

static inline void clean(const struct fineq *device, const void *start, size_t bytes)
{
    if (device->port->clean)
        device->port->clean(device->port->context, start, bytes);
}

static inline void drop(const struct fineq *device, const void *start, size_t bytes)
{
    if (device->port->drop)
        device->port->drop(device->port->context, start, bytes);
}

static inline size_t aligned(size_t bytes)
{
    return (bytes + FINEQ_ALIGNMENT - 1u) / FINEQ_ALIGNMENT * FINEQ_ALIGNMENT;
}

static inline uint32_t parts(uint32_t whole, uint32_t part)
{
    return (whole + part - 1u) / part;
}

static inline void clear_flags(const struct fineq *device)
{
    write_register(device, FINEQ_REG_STATUS,
                   FINEQ_STATUS_DONE_MASK | FINEQ_STATUS_ERROR_MASK | FINEQ_STATUS_ACCESS_ERROR_MASK |
                       FINEQ_STATUS_JOB_DONE_MASK);
}

/* Where the inputs of a row stand in its weight lines. In order, but for the encoding `cluster`: there each vector has
 * whole clusters, and what is left of a line is dealt to the columns that are left (docs/hardware/array.md). */
struct order {
    uint32_t inner, vectors; /* of a row: inputs, and tiles along them */
    uint32_t lines;          /* that are full */
    uint32_t kept, moved;    /* of the line behind them: weights in order, and those behind the whole clusters */
};

struct order fineq_order(const struct fineq *device, uint32_t inner);
/* Inputs as descriptors have them: more where a row takes one more vector than its columns ask for. */
uint32_t fineq_stored_inner(const struct fineq *device, const struct order *order);
/* The input at a place of a line, and at a column of a vector; NO_INPUT: none. */
uint32_t fineq_line_input(const struct fineq *device, const struct order *order, uint32_t line, uint32_t place);
uint32_t fineq_input(const struct fineq *device, const struct order *order, uint32_t vector, uint32_t column);
/* A weight of a packed row. */
int fineq_packed_weight(const uint8_t *row, uint32_t input);
/* Copy a cluster of a packed row to a place among clusters that are zero. */
void fineq_copy_cluster(uint8_t *to, uint32_t place, const uint8_t *row, uint32_t number);

#endif
