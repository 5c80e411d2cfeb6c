// One path of the integer product. FINEQ_PATH is the header of its instruction set; the caller sees to it that the
// processor has it (cpu.cpp).
#include "problem.h"
#include FINEQ_PATH

namespace {

// Adding and subtracting this rounds a float32 below 2^22 to the nearest integer, ties to even.
constexpr float ROUNDING = 0x1.8p23f;

// The integers of one token, by the rules of fineq.quantizer.activations, in the order of the groups; x: [groups, 3,
// LANES], zero beyond `length`. A token with NaN or infinity becomes zeros with a scale that is not finite: NaN for all.
void quantize_token(const float* values, int64_t length, float largest, float smallest_scale, int8_t* integers,
                    int8_t* x, int64_t groups, int32_t& offset, float& scale) {
    int32_t most = 0;  // as integers, magnitudes are ordered too, and NaN is above infinity
    for (int64_t k = 0; k < length; ++k) {
        int32_t bits;
        std::memcpy(&bits, values + k, 4);
        most = std::max(most, bits & 0x7fffffff);
    }
    float absmax;
    std::memcpy(&absmax, &most, 4);
    const bool is_finite = most < 0x7f800000;
    scale = absmax / largest;
    if (scale < smallest_scale) scale = 1.0f;
    int32_t sum = 0;
    if (is_finite)
        for (int64_t k = 0; k < length; ++k) {
            const float rounded = (values[k] / scale + ROUNDING) - ROUNDING;
            const int32_t integer = int32_t(std::min(largest, std::max(-largest, rounded)));
            integers[k] = int8_t(integer);
            sum += integer;
        }
    else
        std::memset(integers, 0, length);
    offset = Isa::OFFSET * sum;
    for (int64_t g = 0; g < groups; ++g, x += GROUP_WEIGHTS<Isa>, integers += GROUP_WEIGHTS<Isa>)
        for (int i = 0; i < Isa::LANES; ++i)
            for (int j = 0; j < CLUSTER_WEIGHTS; ++j) x[j * Isa::LANES + i] = integers[i * CLUSTER_WEIGHTS + j];
}

}  // namespace

// y [tokens, rows] = x [tokens, length] times the transposed packed matrix. `table`: three weights and a spare byte by
// [index code, payload]. `largest` integer of an activation; below `smallest_scale` a token counts as zeros.
extern "C" void fineq_linear_integer(const float* x, const uint8_t* blocks, const float* scales, const void* table,
                                     float* y, int64_t tokens, int64_t rows, int64_t length, float largest,
                                     float smallest_scale, int32_t threads) {
    static const bool filled = [&] { return std::memcpy(DECODED, table, sizeof DECODED) != nullptr; }();
    (void)filled;
    const int64_t row_blocks = ceil_div(length, BLOCK_WEIGHTS), groups = ceil_div(row_blocks, GROUP_BLOCKS<Isa>);
    const int64_t stride = groups * GROUP_WEIGHTS<Isa>;
    std::vector<int8_t> integers(tokens * stride);
    std::vector<int32_t> offsets(tokens);
    std::vector<float> x_scales(tokens);
    for_row_tiles(tokens, 8, threads, [&](int64_t first, int64_t last) {
        std::vector<int8_t> plain(stride);  // zeros after the end
        for (int64_t t = first; t < last; ++t)
            quantize_token(x + t * length, length, largest, smallest_scale, plain.data(), integers.data() + t * stride,
                           groups, offsets[t], x_scales[t]);
    });
    multiply<Isa>(Problem{integers.data(), offsets.data(), x_scales.data(), blocks, scales, y, tokens, rows, row_blocks,
                          groups, threads});
}
