/* The firmware of `fineq soc sim`: a layer and a short chain on the accelerator, every result checked. */
#include "board.h"
#include "expected.h"
#include "vectors.h"

#define POLLS 10000000u
#define MARK 0xA5u
#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct fineq_channel channels[FINEQ_VECTORS_ROWS];
static struct fineq_token tokens[FINEQ_VECTORS_TOKENS];
static struct fineq device;

static void check(const char *what, int status)
{
    if (status) {
        print(what);
        print(": ");
        print(fineq_status_text(status));
        if (status == FINEQ_REFUSED) {
            print(" ");
            print(fineq_error_text(fineq_last_error(&device).code));
        }
        print("\n");
        board_end(false);
    }
}

static uint32_t wrong_results(const struct fineq_job *job, const int32_t *expected)
{
    uint32_t token, channel, wrong = 0u;

    for (token = 0u; token < job->tokens; token++)
        for (channel = 0u; channel < job->layer->channels; channel++)
            wrong += fineq_result(job, token, channel) != *expected++;
    return wrong;
}

static void check_results(const char *what, const struct fineq_job *job, const int32_t *expected)
{
    uint32_t wrong = wrong_results(job, expected), all = job->tokens * job->layer->channels;

    print(what);
    print(": ");
    print_number(all - wrong);
    print(" of ");
    print_number(all);
    print(" results right\n");
    if (wrong)
        board_end(false);
}

static void print_cycles(const char *what)
{
    print(what);
    print(": ");
    print_number(fineq_counter(&device, FINEQ_COUNTER_CYCLES));
    print(" cycles, array busy ");
    print_number(fineq_counter(&device, FINEQ_COUNTER_MULTIPLY_BUSY));
    print("\n");
}

static void start(const struct fineq_port *port)
{
    check("probe", fineq_probe(&device, port, (void *)SOC_MEMORY, SOC_MEMORY, SOC_MEMORY_BYTES));
    if (device.rows != EXPECTED_ROWS || device.columns != EXPECTED_COLUMNS || device.encoding != EXPECTED_ENCODING ||
        device.kind != EXPECTED_KIND) {
        print("this firmware was made for an array of ");
        print_number(EXPECTED_ROWS);
        print(" x ");
        print_number(EXPECTED_COLUMNS);
        print(", the machine has ");
        print_number(device.rows);
        print(" x ");
        print_number(device.columns);
        print(": build it for this configuration\n");
        board_end(false);
    }
}

static void make_scales(void)
{
    bool good = true;
    uint32_t number;

    for (number = 0u; number < COUNT(channels); number++) {
        good &= fineq_scale(fineq_vectors_scales[number], &channels[number].multiplier, &channels[number].shift);
        channels[number].bias = expected_bias[number];
    }
    for (number = 0u; number < COUNT(tokens); number++)
        good &= fineq_scale(fineq_vectors_activation_scales[number], &tokens[number].multiplier, &tokens[number].shift);
    check("scales", good ? FINEQ_OK : FINEQ_BAD_ARGUMENT);
}

static struct fineq_job job_of(const struct fineq_layer *layer, enum fineq_output output, enum fineq_function function)
{
    struct fineq_job job = {.layer = layer,
                            .activations = fineq_vectors_activations,
                            .tokens = FINEQ_VECTORS_TOKENS,
                            .scales = tokens,
                            .output = output,
                            .function = function,
                            .requantize_multiplier = EXPECTED_MULTIPLIER,
                            .requantize_shift = EXPECTED_SHIFT};
    return job;
}

static void run_layer(const struct fineq_layer *layer)
{
    struct fineq_job job = job_of(layer, FINEQ_OUTPUT_SUMS, FINEQ_FUNCTION_NONE);

    check("layer", fineq_run(&device, &job, 1u, POLLS));
    print_cycles("layer");
    check_results("layer", &job, fineq_vectors_expected_sums);
}

/* Three jobs in one chain; the processor waits for the interrupt. */
static void run_chain(const struct fineq_layer *layer)
{
    struct fineq_job jobs[3] = {job_of(layer, FINEQ_OUTPUT_FIXED, FINEQ_FUNCTION_SILU),
                                job_of(layer, FINEQ_OUTPUT_SUMS, FINEQ_FUNCTION_NONE),
                                job_of(layer, FINEQ_OUTPUT_INT8, FINEQ_FUNCTION_GELU)};
    uint32_t before = interrupts, poll;
    uint64_t first;

    check("chain", fineq_prepare(&device, jobs, COUNT(jobs), &first));
    interrupt_enable(true);
    check("chain", fineq_start(&device, first, true));
    for (poll = 0u; poll < POLLS && interrupts == before; poll++) {
    }
    interrupt_enable(false);
    check("chain", interrupts == before + 1u ? fineq_finish(&device, jobs, COUNT(jobs)) : FINEQ_TIMEOUT);
    print_cycles("chain, ended by its interrupt");
    check_results("chain, fixed point with silu", &jobs[0], expected_fixed);
    check_results("chain, sums", &jobs[1], fineq_vectors_expected_sums);
    check_results("chain, int8 with gelu", &jobs[2], expected_int8);
}

static uint32_t count_marks(const struct fineq_job *job)
{
    const volatile uint8_t *results = job->results;
    size_t at;
    uint32_t marks = 0u;

    for (at = 0u; at < (size_t)job->tokens * job->result_stride; at++)
        marks += results[at] == MARK;
    return marks;
}

/* Results that the processor has read before the machine writes them: what it sees then is old without a drop. */
static void run_cached(const struct fineq_layer *layer, bool careful)
{
    struct fineq_job job = job_of(layer, FINEQ_OUTPUT_SUMS, FINEQ_FUNCTION_NONE);
    size_t before = device.memory_used, at;
    uint32_t poll, seen, there, all;
    volatile uint8_t *results;
    uint64_t first;

    device.port = careful ? &cached_port : &careless_port;
    check("cache", fineq_prepare(&device, &job, 1u, &first));
    results = (volatile uint8_t *)job.results;
    for (at = 0u; at < (size_t)job.tokens * job.result_stride; at++)
        results[at] = MARK;
    cached_port.clean(NULL, job.results, 0u);
    all = count_marks(&job);
    check("cache", fineq_start(&device, first, false));
    for (poll = 0u; poll < POLLS && fineq_busy(&device); poll++) {
    }
    check("cache", fineq_finish(&device, &job, 1u));
    seen = count_marks(&job);
    cached_port.drop(NULL, job.results, 0u);
    there = count_marks(&job);
    print(careful ? "cache dropped: " : "cache left as it is: ");
    print_number(seen - there);
    print(" bytes of the results stale\n");
    if ((seen != there) != (!careful && SOC_DATA_CACHE) || all != job.tokens * job.result_stride)
        board_end(false);
    device.port = &cached_port;
    check_results("cache", &job, fineq_vectors_expected_sums);
    fineq_give_back(&device, before);
}

static void provoke_error(const struct fineq_layer *layer)
{
    struct fineq_job job = job_of(layer, FINEQ_OUTPUT_SUMS, FINEQ_FUNCTION_RELU);

    if (fineq_run(&device, &job, 1u, POLLS) != FINEQ_REFUSED) {
        print("a job that cannot be was not refused\n");
        board_end(false);
    }
    print("refused as it must be: ");
    print(fineq_error_text(fineq_last_error(&device).code));
    print("\n");
}

int main(void)
{
    struct fineq_layer layer;

    board_start();
    start(&cached_port);
    make_scales();
    check("load", fineq_load_layer(&device, &layer, fineq_vectors_blocks, FINEQ_VECTORS_ROWS, FINEQ_VECTORS_INNER,
                                   channels));
    run_layer(&layer);
    run_chain(&layer);
    run_cached(&layer, false);
    run_cached(&layer, true);
    provoke_error(&layer);
    run_layer(&layer);
    board_end(true);
    return 0;
}
