// Quantize and pack rows with regard to the cycles of the array: the same choice as fineq.quantizer.cycle_aware, to the bit.
#include "pairs.h"

#include <array>
#include <cmath>

namespace {

constexpr int MOST = MAX_MAGNITUDE;  // allowances: no more than there are magnitudes

struct CycleOptions {
    const int32_t *largest, *cycles;  // by allowance, cheapest first
    int32_t count;
    int64_t columns;
    double worth;  // of a cycle, by the energy of the row
};

// Where eight pairs lie: the windows of their first and last weights, and which weights are in the first one.
struct Place {
    int64_t first[LANES], last[LANES];
    Ints in_first[PAIR_CLUSTERS][CLUSTER_WEIGHTS];
    bool crosses;
};

using Weights = Floats[PAIR_CLUSTERS][CLUSTER_WEIGHTS];

struct Scaled {
    Weights x, rounded, zeroed, normal;
};

template <bool IS_SQUARED>
inline Floats measure(Floats error) { return IS_SQUARED ? error * error : absolute(error); }

template <class Function>
inline void for_weights(Function function) {
    for (int c = 0; c < PAIR_CLUSTERS; ++c)
        for (int j = 0; j < CLUSTER_WEIGHTS; ++j) function(c, j);
}

std::vector<Place> find_places(int64_t length, int64_t columns, size_t groups) {
    std::vector<Place> places(groups);
    const int64_t end = ceil_div(length, columns) - 1;
    for (size_t g = 0; g < groups; ++g) {
        Place& place = places[g];
        place.crosses = false;
        for (int lane = 0; lane < LANES; ++lane) {
            const int64_t column = (int64_t(g) * LANES + lane) * PAIR_WEIGHTS;
            auto window = [&](int i) { return std::min((column + i) / columns, end); };
            place.first[lane] = window(0);
            place.last[lane] = window(PAIR_WEIGHTS - 1);
            place.crosses |= place.first[lane] != place.last[lane];
            for_weights([&](int c, int j) {
                place.in_first[c][j][lane] = window(c * CLUSTER_WEIGHTS + j) == place.first[lane] ? -1 : 0;
            });
        }
    }
    return places;
}

template <bool IS_SQUARED>
inline void scale_group(const Group& group, Floats scale, Scaled& scaled) {
    for_weights([&](int c, int j) {
        Floats x = group.weights[c][j] / scale;
        scaled.x[c][j] = x;
        scaled.rounded[c][j] = round_even(x);
        scaled.zeroed[c][j] = measure<IS_SQUARED>(x);
        scaled.normal[c][j] = measure<IS_SQUARED>(x - clamp(scaled.rounded[c][j], MAX_NORMAL));
    });
}

template <bool IS_SQUARED>
inline Ints limited_codes(const Group& group, const Scaled& scaled, const Weights& limit, Floats& loss) {
    Weights outlier;
    for_weights([&](int c, int j) {
        outlier[c][j] = measure<IS_SQUARED>(scaled.x[c][j] - clamp(scaled.rounded[c][j], limit[c][j]));
    });
    return choose_code(scaled.zeroed, scaled.normal, outlier, group.kept, loss);
}

// The best allowances of a row's windows at one scale after the other.
template <bool IS_SQUARED>
class Search {
  public:
    Search(const std::vector<Group>& groups, const std::vector<Place>& places, const Options& options,
           const CycleOptions& cycles, float base)
        : groups(groups), places(places), options(options), cycles(cycles), windows(places.back().last[LANES - 1] + 1),
          inner(windows), shared(windows), came_from(windows), states(windows) {
        const double units = 1.0 / options.loss_unit;
        int64_t energy = 0;
        for (const Group& group : groups)
            for_weights([&](int c, int j) {
                Longs terms = in_units(measure<IS_SQUARED>(group.weights[c][j] / fill(base)), units);
                for (int lane = 0; lane < LANES; ++lane) energy += terms[lane];
            });
        penalty = int64_t(std::nearbyint(double(energy) * cycles.worth));
    }

    // Tries a scale; keeps it, and the allowances in `states`, if the row then costs less than ever before.
    void attempt(float scale, int64_t numerator) {
        const int64_t weight = IS_SQUARED ? numerator * numerator : numerator;
        if (!add_losses(scale, weight)) return;
        std::array<int64_t, MOST> cost{};
        for (int64_t w = 0; w < windows; ++w) {
            std::array<int64_t, MOST> next;
            for (int b = 0; b < cycles.count; ++b) {
                int from = 0;
                int64_t before = INT64_MAX;
                for (int a = 0; a < cycles.count; ++a) {
                    int64_t sum = cost[a] + (w ? shared[w - 1][a][b] * weight : 0);
                    if (sum < before) before = sum, from = a;
                }
                next[b] = before + inner[w][b] * weight + penalty * cycles.cycles[b];
                came_from[w][b] = from;
            }
            cost = next;
        }
        int state = std::min_element(cost.begin(), cost.begin() + cycles.count) - cost.begin();
        if (cost[state] >= least) return;
        least = cost[state];
        best = scale;
        for (int64_t w = windows; w--; state = came_from[w][state]) states[w] = state;
    }

    void write(uint8_t* blocks, int64_t count) const {
        for (size_t g = 0; g < groups.size(); ++g) {
            Floats first, last, loss;
            for (int lane = 0; lane < LANES; ++lane) {
                first[lane] = cycles.largest[states[places[g].first[lane]]];
                last[lane] = cycles.largest[states[places[g].last[lane]]];
            }
            Scaled scaled;
            scale_group<IS_SQUARED>(groups[g], fill(best), scaled);
            Weights limit;
            set_limits(places[g], first, last, limit);
            Ints index = limited_codes<IS_SQUARED>(groups[g], scaled, limit, loss);
            pack_group(scaled.rounded, limit, index, options.payloads, blocks, g, count);
        }
    }

    float best = 0;

  private:
    static void set_limits(const Place& place, Floats first, Floats last, Weights& limit) {
        for_weights([&](int c, int j) { limit[c][j] = place.in_first[c][j] ? first : last; });
    }

    // Fills `inner` and `shared`; false if the scale has lost before it is through. A window that may use every
    // magnitude has the least loss, and the first allowance the fewest cycles: together a bound for any choice.
    bool add_losses(float scale, int64_t weight) {
        const double units = 1.0 / options.loss_unit;
        std::fill(inner.begin(), inner.end(), std::array<int64_t, MOST>{});
        std::fill(shared.begin(), shared.end(), std::array<std::array<int64_t, MOST>, MOST>{});
        int64_t bound = windows * penalty * cycles.cycles[0];
        for (size_t g = 0; g < groups.size(); ++g) {
            const Place& place = places[g];
            Scaled scaled;
            scale_group<IS_SQUARED>(groups[g], fill(scale), scaled);
            for (int a = 0; a < cycles.count; ++a)
                for (int b = 0; b < cycles.count; ++b) {
                    if (a != b && !place.crosses) continue;
                    Weights limit;
                    set_limits(place, fill(cycles.largest[a]), fill(cycles.largest[b]), limit);
                    Floats losses;
                    limited_codes<IS_SQUARED>(groups[g], scaled, limit, losses);
                    const Longs loss = in_units(losses, units);
                    for (int lane = 0; lane < LANES; ++lane) {
                        const int64_t window = place.first[lane];
                        if (window != place.last[lane]) shared[window][a][b] += loss[lane];
                        else if (a == b) inner[window][a] += loss[lane];
                        if (a == cycles.count - 1 && a == b) bound += loss[lane] * weight;
                    }
                }
            if (g % GROUPS_BETWEEN_CHECKS == 0 && bound >= least) return false;
        }
        return true;
    }

    const std::vector<Group>& groups;
    const std::vector<Place>& places;
    const Options& options;
    const CycleOptions& cycles;
    const int64_t windows;
    int64_t penalty = 0, least = INT64_MAX;
    std::vector<std::array<int64_t, MOST>> inner;                     // loss, by [window, allowance]
    std::vector<std::array<std::array<int64_t, MOST>, MOST>> shared;  // with the next window, by [window, both]
    std::vector<std::array<int, MOST>> came_from;
    std::vector<int> states;
};

template <bool IS_SQUARED>
void quantize_row(const std::vector<Group>& groups, const std::vector<Place>& places, const Options& options,
                  const CycleOptions& cycles, float& scale, uint8_t* bytes, int64_t count) {
    Search<IS_SQUARED> search(groups, places, options, cycles, scale);
    for (int32_t i = 0; i < options.grid_length; ++i)
        search.attempt(scale * (float(options.grid[i]) / float(options.grid_denominator)), options.grid[i]);
    search.write(bytes, count);
    scale = search.best;
}

}  // namespace

// As fineq_quantize; the grid holds at least one scale.
extern "C" int64_t fineq_quantize_by_cycles(const void* weights, int32_t type, int64_t rows, int64_t length,
                                            int64_t stride, const Options* options, const CycleOptions* cycles,
                                            uint8_t* blocks, float* scales, int32_t threads) {
    const int64_t count = ceil_div(length, BLOCK_WEIGHTS);
    const auto places = find_places(length, cycles->columns, ceil_div(count * BLOCK_PAIRS, LANES));
    return for_quantized_rows(weights, type, rows, length, stride, *options, blocks, scales, threads,
                              [&](int64_t, const std::vector<Group>& groups, float, float& scale, uint8_t* bytes) {
                                  (options->is_squared ? quantize_row<true> : quantize_row<false>)(
                                      groups, places, *options, *cycles, scale, bytes, count);
                              },
                              [](int64_t, const float*, const std::vector<Group>&) {});
}
