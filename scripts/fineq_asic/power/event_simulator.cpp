// Event-driven simulation of the logic between registers, with a delay per input pin and edge of the output.
//
// Registers and ports change once a cycle, to the values that a settled simulation (`trace`) has found; what
// the logic does until it settles is simulated here. Delays are inertial: a change that a gate takes back before
// it has reached the output never appears. At the end of every cycle each net must have its settled value.
//
// Built as a shared library and called from glitches.py, which says what the arrays are. Times are in fs.

#include <algorithm>
#include <cstdint>
#include <queue>
#include <vector>

namespace {

struct Event {
    int64_t time;
    int64_t order;  // equal times: first come, first served
    int32_t gate;   // -1: a source
    int32_t net;
    int32_t value;
    int64_t ticket;
    bool operator>(const Event& other) const {
        return time != other.time ? time > other.time : order > other.order;
    }
};

}  // namespace

extern "C" int32_t simulate(
    int32_t nets, int32_t gates, const int32_t* output, const int32_t* first_pin, const int32_t* pin_net,
    const int64_t* pin_rise, const int64_t* pin_fall, const uint64_t* table, const int64_t* source_rise,
    const int64_t* source_fall, const uint64_t* trace, int32_t steps, const int32_t* lanes, int32_t lane_count,
    int64_t period, int64_t* toggles, int64_t* high, int64_t* settled, int64_t* mismatch) {
    std::vector<int32_t> fanout_start(nets + 1, 0), driver(nets, -1);
    for (int32_t p = 0; p < first_pin[gates]; ++p) ++fanout_start[pin_net[p] + 1];
    for (int32_t n = 0; n < nets; ++n) fanout_start[n + 1] += fanout_start[n];
    std::vector<int32_t> fanout_gate(first_pin[gates]), fanout_pin(first_pin[gates]);
    std::vector<int32_t> place(fanout_start.begin(), fanout_start.end() - 1);
    for (int32_t g = 0; g < gates; ++g) {
        driver[output[g]] = g;
        for (int32_t p = first_pin[g]; p < first_pin[g + 1]; ++p) {
            fanout_gate[place[pin_net[p]]] = g;
            fanout_pin[place[pin_net[p]]++] = p;
        }
    }
    std::vector<uint8_t> value(nets);
    std::vector<int64_t> ticket(gates, 0), pending_time(gates, -1);
    std::vector<uint8_t> pending(gates, 0);
    std::priority_queue<Event, std::vector<Event>, std::greater<Event>> queue;
    int64_t order = 0;
    *settled = 0;
    for (int32_t l = 0; l < lane_count; ++l) {
        const int32_t lane = lanes[l];
        for (int32_t n = 0; n < nets; ++n) value[n] = trace[n] >> lane & 1;
        for (int32_t step = 1; step < steps; ++step) {
            const uint64_t* target = trace + static_cast<int64_t>(step) * nets;
            for (int32_t n = 0; n < nets; ++n) {
                const int32_t next = target[n] >> lane & 1;
                if (driver[n] < 0 && next != value[n])
                    queue.push({next ? source_rise[n] : source_fall[n], order++, -1, n, next, 0});
                if (value[n]) high[n] += period;  // corrected at every change below
            }
            while (!queue.empty()) {
                const Event event = queue.top();
                queue.pop();
                if (event.gate >= 0) {
                    if (event.ticket != ticket[event.gate]) continue;  // taken back
                    pending_time[event.gate] = -1;
                }
                value[event.net] = static_cast<uint8_t>(event.value);
                ++toggles[event.net];
                high[event.net] += event.value ? period - event.time : event.time - period;
                *settled = std::max(*settled, event.time);
                for (int32_t f = fanout_start[event.net]; f < fanout_start[event.net + 1]; ++f) {
                    const int32_t g = fanout_gate[f];
                    uint32_t index = 0;
                    for (int32_t p = first_pin[g]; p < first_pin[g + 1]; ++p)
                        index |= static_cast<uint32_t>(value[pin_net[p]]) << (p - first_pin[g]);
                    const uint8_t next = table[g] >> index & 1;
                    const bool waiting = pending_time[g] >= 0;
                    if (next == (waiting ? pending[g] : value[output[g]]) && !waiting) continue;
                    const int64_t time = event.time + (next ? pin_rise[fanout_pin[f]] : pin_fall[fanout_pin[f]]);
                    if (waiting && next == pending[g] && time >= pending_time[g]) continue;
                    ++ticket[g];
                    pending_time[g] = -1;
                    if (next == value[output[g]]) continue;  // taken back before it was seen
                    pending_time[g] = time;
                    pending[g] = next;
                    queue.push({time, order++, g, output[g], next, ticket[g]});
                }
            }
            for (int32_t n = 0; n < nets; ++n) {
                if (value[n] != (target[n] >> lane & 1)) {
                    mismatch[0] = n, mismatch[1] = step, mismatch[2] = lane;
                    return 1;
                }
            }
        }
    }
    return 0;
}
