/* The SoC's UART, caches and interrupt. */
#include "board.h"

#define UART_DATA (*(volatile uint32_t *)(SOC_UART_CSR + 0u))
#define UART_FULL (*(volatile uint32_t *)(SOC_UART_CSR + 4u))

/* Registers of VexRiscv for external interrupts. */
#define IRQ_MASK "0xBC0"
#define MIE (1u << 3)
#define MACHINE_EXTERNAL (1u << 11)

volatile uint32_t interrupts;

/* The data cache writes through; a fence waits for what is under way. */
static void clean(void *context, const void *start, size_t bytes)
{
    (void)context;
    (void)start;
    (void)bytes;
    __asm__ volatile("fence" ::: "memory");
}

/* VexRiscv throws away the whole data cache; it has no line of its own to lose, since it writes through. */
static void drop(void *context, const void *start, size_t bytes)
{
    (void)context;
    (void)start;
    (void)bytes;
#if SOC_DATA_CACHE
    __asm__ volatile(".word 0x500F" ::: "memory");
#endif
}

const struct fineq_port cached_port = {(void *)SOC_REGISTERS, fineq_mmio_read, fineq_mmio_write, clean, drop};
const struct fineq_port careless_port = {(void *)SOC_REGISTERS, fineq_mmio_read, fineq_mmio_write, clean, NULL};

void on_trap(uint32_t cause);

/* The interrupt is a level: it goes when the flags that raise it are cleared, or disabled, as here. */
void on_trap(uint32_t cause)
{
    if (!(cause >> 31)) {
        print("the processor met an exception\n");
        board_end(false);
    }
    fineq_mmio_write((void *)SOC_REGISTERS, FINEQ_REG_INTERRUPT_ENABLE, 0u);
    interrupts++;
}

void interrupt_enable(bool enable)
{
    uint32_t mask = enable ? 1u << SOC_INTERRUPT : 0u;

    __asm__ volatile("csrw " IRQ_MASK ", %0" ::"r"(mask));
    if (enable) {
        __asm__ volatile("csrs mie, %0" ::"r"(MACHINE_EXTERNAL));
        __asm__ volatile("csrs mstatus, %0" ::"r"(MIE));
    } else {
        __asm__ volatile("csrc mstatus, %0" ::"r"(MIE));
    }
}

/* The compiler calls these two for structures. */
void *memset(void *to, int value, size_t bytes);
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);

void *memset(void *to, int value, size_t bytes)
{
    volatile uint8_t *at = to;

    while (bytes--)
        *at++ = (uint8_t)value;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    volatile uint8_t *at = to;
    const uint8_t *source = from;

    while (bytes--)
        *at++ = *source++;
    return to;
}

void board_start(void)
{
#if SOC_SDRAM
    *(volatile uint32_t *)SOC_SDRAM_CSR = 1u; /* the controller, not software, speaks to the chip */
#endif
}

void print(const char *text)
{
    for (; *text; text++) {
        while (UART_FULL) {
        }
        UART_DATA = (uint8_t)*text;
    }
}

void print_number(uint64_t number)
{
    char digits[21];
    uint32_t at = sizeof digits - 1u;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10u);
        number /= 10u;
    } while (number);
    print(&digits[at]);
}

void board_end(bool passed)
{
#ifdef SOC_LIGHTS_CSR
    *(volatile uint32_t *)SOC_LIGHTS_CSR = passed ? 1u : 2u;
#endif
    print(passed ? "passed\n" : "FAILED\n");
    print(passed ? "\x04" : "\x15");
    for (;;) {
    }
}
