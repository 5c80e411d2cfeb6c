/* FineQ: layers in shared memory; see fineq.h. */
#include "fineq_private.h"

/* Weights of a layer, one of the two, and the bytes of a channel. */
struct weights {
    const uint8_t *blocks;
    const int8_t *integers;
    size_t row;
};

static uint32_t line_groups(const struct fineq *device, uint32_t inner)
{
    return parts(fineq_order(device, inner).vectors, device->line_slices);
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
    struct order order;

    if (!channels || channels > FINEQ_MAX_LAYER_SIZE || !inner || inner > device->max_inner)
        return FINEQ_BAD_ARGUMENT;
    order = fineq_order(device, inner);
    return fineq_stored_inner(device, &order) > device->max_inner ? FINEQ_BAD_ARGUMENT : FINEQ_OK;
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

/* A weight of a MAC array, at its bits of a line that is zero; fields may cross bytes. */
static void put_weight(const struct fineq *device, uint8_t *line, uint32_t column, int value)
{
    const struct fineq_weight *weight = device->weight;
    uint32_t bit = column * weight->bits, field = (uint32_t)value & ((1u << weight->bits) - 1u);

    if (!weight->twos_complement && value < 0)
        field = 1u << (weight->bits - 1u) | (uint32_t)-value;
    field <<= bit % 8u;
    line[bit / 8u] = (uint8_t)(line[bit / 8u] | field);
    if (field >> 8)
        line[bit / 8u + 1u] = (uint8_t)(field >> 8);
}

static void fill_plain_line(const struct fineq *device, uint8_t *line, const struct weights *weights, uint32_t channel,
                            uint32_t group, const struct order *order)
{
    uint32_t column, input;
    int value;

    for (column = 0u; column < device->columns; column++) {
        input = fineq_input(device, order, group, column);
        if (input == NO_INPUT)
            return;
        if (weights->integers)
            value = weights->integers[channel * weights->row + input];
        else
            value = fineq_packed_weight(weights->blocks + channel * weights->row, input);
        put_weight(device, line, column, value);
    }
}

/* The blocks as they are; of a line that is not full, clusters may stand in other places. */
static void fill_packed_line(const struct fineq *device, uint8_t *line, const uint8_t *row, size_t row_bytes,
                             uint32_t group, const struct order *order)
{
    size_t start = (size_t)group * device->line_bytes, at;
    uint32_t place, input;

    if (group < order->lines || !order->moved) {
        for (at = 0u; at < device->line_bytes && start + at < row_bytes; at++)
            line[at] = row[start + at];
        return;
    }
    for (place = 0u; place < device->line_slices * device->columns; place += FINEQ_CLUSTER_WEIGHTS) {
        input = fineq_line_input(device, order, group, place);
        if (input != NO_INPUT)
            fineq_copy_cluster(line, place / FINEQ_CLUSTER_WEIGHTS, row, input / FINEQ_CLUSTER_WEIGHTS);
    }
}

/* For each tile of channels and each group: one line of every channel, the whole padded. */
static void fill_image(const struct fineq *device, uint8_t *image, const struct weights *weights, uint32_t channels,
                       const struct order *order)
{
    uint32_t groups = parts(order->vectors, device->line_slices), first, group, count, channel;
    uint8_t *line;

    for (first = 0u; first < channels; first += count) {
        count = channels - first < device->channels_per_tile ? channels - first : device->channels_per_tile;
        for (group = 0u; group < groups; group++, image += chunk_bytes(device, count))
            for (channel = 0u; channel < count; channel++) {
                line = image + (size_t)channel * device->line_bytes;
                if (device->weight)
                    fill_plain_line(device, line, weights, first + channel, group, order);
                else
                    fill_packed_line(device, line, weights->blocks + (first + channel) * weights->row, weights->row,
                                     group, order);
            }
    }
}

static int load(struct fineq *device, struct fineq_layer *layer, const struct weights *weights, uint32_t channels,
                uint32_t inner, const struct fineq_channel *scales)
{
    size_t before = device->memory_used, bytes, at;
    struct order order = fineq_order(device, inner);
    uint8_t *image;
    int status;

    bytes = image_bytes(device, channels, inner);
    image = fineq_take(device, bytes);
    if (!image)
        return FINEQ_NO_MEMORY;
    for (at = 0u; at < bytes; at++)
        image[at] = 0u;
    fill_image(device, image, weights, channels, &order);
    clean(device, image, bytes);
    status = fineq_place_layer(device, layer, image, channels, inner, scales);
    if (status)
        fineq_give_back(device, before);
    return status;
}

int fineq_load_layer(struct fineq *device, struct fineq_layer *layer, const uint8_t *blocks, uint32_t channels,
                     uint32_t inner, const struct fineq_channel *scales)
{
    struct weights weights = {blocks, NULL, (size_t)parts(inner, FINEQ_BLOCK_WEIGHTS) * FINEQ_BLOCK_BYTES};
    int status = check_layer(device, channels, inner);

    return status ? status : load(device, layer, &weights, channels, inner, scales);
}

int fineq_load_integers(struct fineq *device, struct fineq_layer *layer, const int8_t *integers, uint32_t channels,
                        uint32_t inner, const struct fineq_channel *scales)
{
    struct weights weights = {NULL, integers, inner};
    int status = check_layer(device, channels, inner);
    size_t at;

    if (!status && !device->weight)
        status = FINEQ_NEEDS_BLOCKS;
    for (at = 0u; !status && at < (size_t)channels * inner; at++)
        if (integers[at] < device->weight->low || integers[at] > device->weight->high)
            status = FINEQ_BAD_ARGUMENT;
    return status ? status : load(device, layer, &weights, channels, inner, scales);
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
