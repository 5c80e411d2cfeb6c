/* FineQ: where weights and inputs stand; see fineq_private.h. */
#include "fineq_private.h"

static bool by_clusters(const struct fineq *device)
{
    return device->kind == FINEQ_KIND_TEMPORAL && device->encoding == FINEQ_ENCODING_CLUSTER;
}

/* Columns of a vector that hold whole clusters. */
static uint32_t whole_columns(const struct fineq *device)
{
    return device->columns / FINEQ_CLUSTER_WEIGHTS * FINEQ_CLUSTER_WEIGHTS;
}

/* Vectors for the weights at the end of a row that do not fill a line: the least number from which the clusters beyond
 * the whole ones can move. A single one always can, more only if they stay the same halves of their pairs. */
static uint32_t rest_vectors(const struct fineq *device, uint32_t rest)
{
    uint32_t whole = whole_columns(device), used, distance, moved;

    for (used = parts(rest, device->columns); used < device->line_slices; used++) {
        moved = rest > whole * used ? parts(rest - whole * used, FINEQ_CLUSTER_WEIGHTS) : 0u;
        distance = whole / FINEQ_CLUSTER_WEIGHTS * (device->line_slices - used);
        if (moved <= 1u || distance % FINEQ_PAIR_CLUSTERS == 0u)
            return used;
    }
    return used;
}

struct order fineq_order(const struct fineq *device, uint32_t inner)
{
    uint32_t weights = device->line_slices * device->columns, rest = inner % weights, whole, used;
    struct order order;

    order.inner = inner;
    order.lines = inner / weights;
    order.kept = rest;
    order.moved = 0u;
    used = by_clusters(device) ? rest_vectors(device, rest) : parts(rest, device->columns);
    order.vectors = order.lines * device->line_slices + used;
    whole = whole_columns(device) * used;
    if (by_clusters(device) && used < device->line_slices && rest > whole) {
        order.kept = whole;
        order.moved = rest - whole;
    }
    return order;
}

uint32_t fineq_stored_inner(const struct fineq *device, const struct order *order)
{
    return order->vectors == parts(order->inner, device->columns) ? order->inner : order->vectors * device->columns;
}

uint32_t fineq_line_input(const struct fineq *device, const struct order *order, uint32_t line, uint32_t place)
{
    uint32_t first = line * device->line_slices * device->columns, end = whole_columns(device) * device->line_slices;

    if (line < order->lines || (line == order->lines && place < order->kept))
        return first + place;
    if (line == order->lines && place >= end && place - end < order->moved)
        return first + order->kept + (place - end);
    return NO_INPUT;
}

uint32_t fineq_input(const struct fineq *device, const struct order *order, uint32_t vector, uint32_t column)
{
    uint32_t line = vector / device->line_slices, slice = vector % device->line_slices, whole = device->columns, place;

    if (by_clusters(device))
        whole = whole_columns(device);
    if (column < whole)
        place = whole * slice + column;
    else
        place = whole * device->line_slices + (device->columns - whole) * slice + (column - whole);
    return fineq_line_input(device, order, line, place);
}

/* Bits of a packed row; fields may cross bytes. */
static uint32_t field(const uint8_t *bytes, uint32_t bit, uint32_t width)
{
    uint32_t value = bytes[bit / 8u];

    if (bit % 8u + width > 8u)
        value |= (uint32_t)bytes[bit / 8u + 1u] << 8;
    return value >> bit % 8u & ((1u << width) - 1u);
}

static void set_field(uint8_t *bytes, uint32_t bit, uint32_t value)
{
    value <<= bit % 8u;
    bytes[bit / 8u] = (uint8_t)(bytes[bit / 8u] | value);
    if (value >> 8)
        bytes[bit / 8u + 1u] = (uint8_t)(bytes[bit / 8u + 1u] | value >> 8);
}

/* First bit of the code and of the payload of a cluster of a row. */
static uint32_t code_bit(uint32_t cluster)
{
    return cluster / FINEQ_BLOCK_CLUSTERS * 8u * FINEQ_BLOCK_BYTES +
           cluster % FINEQ_BLOCK_CLUSTERS / FINEQ_PAIR_CLUSTERS * FINEQ_INDEX_BITS;
}

static uint32_t payload_bit(uint32_t cluster)
{
    return 8u * (cluster / FINEQ_BLOCK_CLUSTERS * FINEQ_BLOCK_BYTES + FINEQ_INDEX_BYTES) +
           cluster % FINEQ_BLOCK_CLUSTERS * FINEQ_CLUSTER_PAYLOAD_BITS;
}

int fineq_packed_weight(const uint8_t *row, uint32_t input)
{
    uint32_t cluster = input / FINEQ_CLUSTER_WEIGHTS, stored = input % FINEQ_CLUSTER_WEIGHTS, sign, value;
    uint32_t code = field(row, code_bit(cluster), FINEQ_INDEX_BITS), bits = FINEQ_NORMAL_BITS;

    if (code != FINEQ_INDEX_ALL_NORMAL) {
        if (stored == code - 1u)
            return 0;
        if (stored >= code)
            stored--; /* the weight that is zero has no field */
        bits = FINEQ_OUTLIER_BITS;
    }
    sign = 1u << (bits - 1u);
    value = field(row, payload_bit(cluster) + stored * bits, bits);
    return value & sign ? -(int)(value & (sign - 1u)) : (int)value;
}

void fineq_copy_cluster(uint8_t *to, uint32_t place, const uint8_t *row, uint32_t number)
{
    uint32_t payload = field(row, payload_bit(number), FINEQ_CLUSTER_PAYLOAD_BITS);

    if (!payload)
        return; /* zeros, whatever the code; its place may be beside a cluster that has one */
    set_field(to, payload_bit(place), payload);
    set_field(to, code_bit(place), field(row, code_bit(number), FINEQ_INDEX_BITS));
}
