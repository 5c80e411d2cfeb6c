/* FineQ: a bare-metal driver of the accelerator, C99, without allocation (docs/hardware/driver-c.md).
 *
 *     struct fineq device;
 *     int status = fineq_probe(&device, &port, memory, memory_address, memory_bytes);
 *     status = fineq_load_layer(&device, &layer, blocks, channels, inner, scales);
 *     status = fineq_run(&device, jobs, count, polls);
 *
 * One device belongs to one caller; nothing here is safe against interrupts or threads.
 */
#ifndef FINEQ_H
#define FINEQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fineq_interface.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a function returns: zero, or why it did nothing. */
enum fineq_status {
    FINEQ_OK = 0,
    FINEQ_NOT_FOUND,       /* no accelerator at the registers */
    FINEQ_WRONG_VERSION,   /* another major version of the register map, or an older minor one */
    FINEQ_UNKNOWN_MACHINE, /* it says of itself what this driver does not know */
    FINEQ_NO_MEMORY,       /* the memory given to fineq_probe is full */
    FINEQ_MISALIGNED,      /* memory that is not a multiple of FINEQ_ALIGNMENT */
    FINEQ_BAD_ARGUMENT,    /* a size of zero or too large, or a weight, a scale or an output that cannot be */
    FINEQ_NEEDS_BLOCKS,    /* this array takes packed blocks: fineq_load_layer */
    FINEQ_BUSY,            /* a chain is running */
    FINEQ_TIMEOUT,         /* the chain did not end; it has been aborted */
    FINEQ_REFUSED          /* the machine ended the chain with an error: fineq_last_error */
};

/* How to reach the registers, and what to do about caches. */
struct fineq_port {
    void *context;
    uint32_t (*read)(void *context, uint32_t offset);
    void (*write)(void *context, uint32_t offset, uint32_t value);
    /* Null where memory is not cached. clean: what the processor wrote is in memory. drop: what the processor reads
     * next comes from memory. */
    void (*clean)(void *context, const void *start, size_t bytes);
    void (*drop)(void *context, const void *start, size_t bytes);
};

/* Access to registers at an address of the processor, for ports: the context is the address. */
uint32_t fineq_mmio_read(void *context, uint32_t offset);
void fineq_mmio_write(void *context, uint32_t offset, uint32_t value);

/* A machine, and the memory that it shares with the processor. Read only for the caller. */
struct fineq {
    const struct fineq_port *port;
    uint8_t *memory;         /* as the processor sees it */
    uint64_t memory_address; /* as the accelerator sees it */
    size_t memory_bytes, memory_used;
    uint32_t rows, columns, kind, encoding, weight_bits, accumulator_bits;
    uint32_t bus_bytes, address_bits, channels_per_tile, line_bytes, line_slices, max_inner;
    const struct fineq_weight *weight; /* of a MAC array; null: a temporal one, which takes packed weights */
};

/* A layer in shared memory. */
struct fineq_layer {
    uint64_t weights, parameters; /* addresses; parameters 0: no scales, sums alone */
    uint32_t channels, inner;
};

/* One run of a layer. Filled by the caller up to `results`, which the driver sets. */
struct fineq_job {
    const struct fineq_layer *layer;
    const int8_t *activations; /* [tokens][inner] */
    uint32_t tokens;
    const struct fineq_token *scales; /* [tokens], or null with FINEQ_OUTPUT_SUMS */
    enum fineq_output output;
    enum fineq_function function;
    bool full_length;               /* no early termination */
    uint16_t requantize_multiplier; /* with FINEQ_OUTPUT_INT8 */
    uint8_t requantize_shift;
    uint32_t tag;
    /* int32_t or int8_t [tokens][channels], rows `result_stride` bytes apart, little endian, in shared memory. */
    const uint8_t *results;
    uint32_t result_stride;
};

/* Why the machine ended a chain. */
struct fineq_failure {
    uint32_t code, detail; /* fineq_error_text(code) */
    uint64_t address, descriptor;
    uint32_t jobs_done; /* since reset */
};

/* Find the machine, give it `bytes` of memory and nothing else, and bring it to rest. */
int fineq_probe(struct fineq *device, const struct fineq_port *port, void *memory, uint64_t address, size_t bytes);

/* Shared memory is taken from its start to its end. Keep `memory_used` and give it back to forget what was taken. */
void *fineq_take(struct fineq *device, size_t bytes);
void fineq_give_back(struct fineq *device, size_t memory_used);
uint64_t fineq_address(const struct fineq *device, const void *pointer);

/* Put a packed layer into shared memory: `blocks` as `fineq vectors` writes them, [channels][blocks of a row]. Any array
 * takes them; a MAC array gets its weights unpacked. `scales` may be null: then there are sums alone. */
int fineq_load_layer(struct fineq *device, struct fineq_layer *layer, const uint8_t *blocks, uint32_t channels,
                     uint32_t inner, const struct fineq_channel *scales);
/* The same with plain weights, [channels][inner], of the width that a MAC array has; a temporal one takes none. */
int fineq_load_integers(struct fineq *device, struct fineq_layer *layer, const int8_t *weights, uint32_t channels,
                        uint32_t inner, const struct fineq_channel *scales);
/* A layer whose weight image the host has prepared and that lies in shared memory already. */
int fineq_place_layer(struct fineq *device, struct fineq_layer *layer, const void *image, uint32_t channels,
                      uint32_t inner, const struct fineq_channel *scales);
/* Bytes of shared memory that a layer and a job take, to plan with. */
size_t fineq_layer_bytes(const struct fineq *device, uint32_t channels, uint32_t inner, bool scaled);
size_t fineq_job_bytes(const struct fineq *device, const struct fineq_job *job);

/* Run jobs as one chain and wait for its end, looking at STATUS at most `polls` times. */
int fineq_run(struct fineq *device, struct fineq_job *jobs, uint32_t count, uint32_t polls);
/* The same in steps, for who has something else to do or waits for the interrupt. */
int fineq_prepare(struct fineq *device, struct fineq_job *jobs, uint32_t count, uint64_t *first);
int fineq_start(struct fineq *device, uint64_t first, bool interrupt);
bool fineq_busy(const struct fineq *device);
int fineq_finish(struct fineq *device, struct fineq_job *jobs, uint32_t count);
int fineq_abort(struct fineq *device, uint32_t polls);

/* One result. */
int32_t fineq_result(const struct fineq_job *job, uint32_t token, uint32_t channel);

/* Scale ~ multiplier / 2^shift from the bits of a float32, as `fineq.driver` rounds; false: not positive or too large. */
bool fineq_scale(uint32_t float_bits, uint16_t *multiplier, uint8_t *shift);

uint64_t fineq_counter(const struct fineq *device, enum fineq_counter counter);
struct fineq_failure fineq_last_error(const struct fineq *device);
const char *fineq_status_text(int status);

#ifdef __cplusplus
}
#endif
#endif
