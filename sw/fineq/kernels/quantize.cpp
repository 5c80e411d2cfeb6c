// Quantize and pack rows: the same arithmetic as fineq.quantizer.vectorised, to the bit (its header states the rules).
#include "pairs.h"

namespace {

// What quantizing does to each row, the figures of the report; see measure.cpp.
struct Figures {
    const Options* own;  // by which clusters choose codes of their own
    double *error, *power;
    int64_t *outliers, *disagreeing;
};

// The figures of a row, added up pair by pair, lane by lane.
class RowFigures {
   public:
    void add(const Group& group, const Options& own, Floats (*values)[CLUSTER_WEIGHTS], Ints index, Floats scale) {
        for (int c = 0; c < PAIR_CLUSTERS; ++c)
            for (int j = 0; j < CLUSTER_WEIGHTS; ++j) {
                Floats weight = group.weights[c][j], lost = weight - values[c][j] * scale;
                error += __builtin_convertvector(lost * lost, Doubles);
                power += __builtin_convertvector(weight * weight, Doubles);
            }
        outliers -= index != 0;
        Ints first = own_codes(group.weights[0], own), second = own_codes(group.weights[1], own);
        disagreeing -= first != second;
        last_index = index, last_differ = first != second;
    }

    void store(const Figures& to, int64_t row, int64_t length) {
        double errors = 0, powers = 0;
        int64_t clusters = 0, pairs = 0;
        for (int lane = 0; lane < LANES; ++lane) {
            errors += error[lane], powers += power[lane];
            clusters += PAIR_CLUSTERS * outliers[lane], pairs += disagreeing[lane];
        }
        if (const int64_t lone = lone_pair(length); lone >= 0) {  // there is no neighbour to count or to compare with
            clusters -= last_index[lone % LANES] != 0;
            pairs += last_differ[lone % LANES];
        }
        to.error[row] = errors, to.power[row] = powers, to.outliers[row] = clusters, to.disagreeing[row] = pairs;
    }

   private:
    Doubles error{}, power{};
    Ints outliers{}, disagreeing{}, last_index{}, last_differ{};
};

// The common code of each pair (lines 14 to 24), and its loss; `rounded`: its weights, rounded and not limited.
template <bool IS_SQUARED>
inline Ints pair_codes(const Group& group, Floats scale, Floats& loss, Floats (*rounded)[CLUSTER_WEIGHTS]) {
    auto measure = [](Floats error) { return IS_SQUARED ? error * error : absolute(error); };
    Floats zeroed[PAIR_CLUSTERS][CLUSTER_WEIGHTS], normal[PAIR_CLUSTERS][CLUSTER_WEIGHTS];
    Floats outlier[PAIR_CLUSTERS][CLUSTER_WEIGHTS];
    for (int c = 0; c < PAIR_CLUSTERS; ++c)
        for (int j = 0; j < CLUSTER_WEIGHTS; ++j) {
            Floats x = group.weights[c][j] / scale;
            rounded[c][j] = round_even(x);
            zeroed[c][j] = measure(x);
            normal[c][j] = measure(x - clamp(rounded[c][j], MAX_NORMAL));
            outlier[c][j] = measure(x - clamp(rounded[c][j], MAX_MAGNITUDE));
        }
    return choose_code(zeroed, normal, outlier, group.kept, loss);
}

// The scale of the grid with the least loss of the row, in units of the weights; the first of equals.
template <bool IS_SQUARED>
float search_scale(const std::vector<Group>& groups, float absmax, float base, const Options& options) {
    const double units = 1.0 / options.loss_unit;
    float best = base;
    int64_t least = INT64_MAX;
    for (int32_t i = 0; i < options.grid_length; ++i) {
        int64_t numerator = options.grid[i], weight = IS_SQUARED ? numerator * numerator : numerator, loss = 0;
        float scale = numerator <= options.grid_denominator
                          ? base * (float(numerator) / float(options.grid_denominator))
                          : absmax * (float(numerator) / float(options.grid_denominator * MAX_MAGNITUDE));
        for (size_t g = 0; g < groups.size() && loss < least;) {
            Longs sum{};
            for (size_t end = std::min(groups.size(), g + GROUPS_BETWEEN_CHECKS); g < end; ++g) {
                Floats losses, rounded[PAIR_CLUSTERS][CLUSTER_WEIGHTS];
                pair_codes<IS_SQUARED>(groups[g], fill(scale), losses, rounded);
                sum += in_units(losses, units);
            }
            for (int lane = 0; lane < LANES; ++lane) loss += sum[lane] * weight;
        }
        if (loss < least) {
            best = scale;
            least = loss;
        }
    }
    return best;
}

template <bool IS_SQUARED>
void quantize_row(const std::vector<Group>& groups, float absmax, const Options& options, float& scale,
                  uint8_t* blocks, int64_t count, const Options* own, RowFigures& figures) {
    if (options.grid_length) scale = search_scale<IS_SQUARED>(groups, absmax, scale, options);
    Floats limit[PAIR_CLUSTERS][CLUSTER_WEIGHTS];
    for (auto& cluster : limit)
        for (Floats& weight : cluster) weight = fill(MAX_MAGNITUDE);
    for (size_t g = 0; g < groups.size(); ++g) {
        Floats loss, rounded[PAIR_CLUSTERS][CLUSTER_WEIGHTS];
        Ints index = pair_codes<IS_SQUARED>(groups[g], fill(scale), loss, rounded);
        pack_group(rounded, limit, index, options.payloads, blocks, g, count);
        if (!own) continue;
        for (int c = 0; c < PAIR_CLUSTERS; ++c)
            for (int j = 0; j < CLUSTER_WEIGHTS; ++j) rounded[c][j] = limited(rounded[c][j], limit[c][j], index, j);
        figures.add(groups[g], *own, rounded, index, fill(scale));
    }
}

}  // namespace

// Quantize `rows` rows of `length` weights of a type (0 float32, 1 float16, 2 bfloat16), `stride` bytes apart, into
// blocks [rows, 7 * ceil(length / 24)] and scales [rows]. grid_length 0: no scale search. `figures` may be null.
// Returns the first row that holds NaN or infinity, or -1; what the output then holds is of no use.
extern "C" int64_t fineq_quantize(const void* weights, int32_t type, int64_t rows, int64_t length, int64_t stride,
                                  const Options* options, const Figures* figures, uint8_t* blocks, float* scales,
                                  int32_t threads) {
    const int64_t count = ceil_div(length, BLOCK_WEIGHTS);
    const Options* own = figures ? figures->own : nullptr;
    return for_quantized_rows(
        weights, type, rows, length, stride, *options, blocks, scales, threads,
        [&](int64_t row, const std::vector<Group>& groups, float absmax, float& scale, uint8_t* bytes) {
            RowFigures found;
            (options->is_squared ? quantize_row<true> : quantize_row<false>)(groups, absmax, *options, scale, bytes,
                                                                             count, own, found);
            if (figures) found.store(*figures, row, length);
        },
        [&](int64_t row, const float* values, std::vector<Group>& groups) {
            if (!figures) return;
            RowFigures found;
            Floats zeros[PAIR_CLUSTERS][CLUSTER_WEIGHTS]{};
            fill_groups(values, length, *options, groups);
            for (const Group& group : groups) found.add(group, *own, zeros, Ints{}, fill(1));
            found.store(*figures, row, length);
        });
}
