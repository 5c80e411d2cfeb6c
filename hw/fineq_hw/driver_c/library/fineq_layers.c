/* FineQ: layers in shared memory; see fineq.h. */
#include "fineq_private.h"

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
