/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start-up in C, command line, memory, traps, clock and trace marks.
 */
#include "tests/guests/lib/guest.h"

#define HVM_START_MAGIC 0x336ec578

/* struct hvm_start_info of the PVH boot protocol, version 1. */
struct start_info {
    u32 magic, version, flags, modules;
    u64 modlist, cmdline, rsdp, memmap;
    u32 memmap_entries, reserved;
};

struct idt_entry {
    u16 offset_lo, selector;
    u8 ist, type;
    u16 offset_mid;
    u32 offset_hi, reserved;
};

extern struct idt_entry idt[256];
extern const u64 trap_stubs[256];

const struct memory_range *memory_map;
u32 memory_ranges;
u64 rsdp_address;
bool on_sluice;
u64 hv_base, hv_bytes;
u64 trap_error, trap_cr2, trap_rip;
void (*on_interrupt)(u64 vector);

static char command_line[1024];
static char value[256];

/* ---- strings and memory; volatile keeps the compiler from turning a loop into a call of itself */

void *memset(void *to, int byte, size_t bytes)
{
    void *p = to;

    __asm__ volatile("rep stosb" : "+D"(p), "+c"(bytes) : "a"(byte) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
    void *p = to;

    __asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(bytes)::"memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const volatile u8 *x = a, *y = b;

    for (; bytes; bytes--, x++, y++) {
        if (*x != *y) {
            return *x - *y;
        }
    }
    return 0;
}

bool streq(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static u64 pattern(u64 seed, u64 index)
{
    return (seed * 0x9e3779b97f4a7c15ull) ^ (index * 0xff51afd7ed558ccdull);
}

void fill(volatile void *page, u64 bytes, u64 seed)
{
    for (u64 i = 0; i < bytes / 8; i++) {
        ((volatile u64 *)page)[i] = pattern(seed, i);
    }
}

bool filled(volatile void *page, u64 bytes, u64 seed)
{
    for (u64 i = 0; i < bytes / 8; i++) {
        if (((volatile u64 *)page)[i] != pattern(seed, i)) {
            return false;
        }
    }
    return true;
}

#define ARENA_BYTES (12u << 20)
static u8 arena[ARENA_BYTES] __attribute__((aligned(4096)));
static u64 arena_used;

void *page_alloc_aligned(u64 pages, u64 size)
{
    u64 at = align_up((u64)arena + arena_used, size) - (u64)arena;

    if (at + pages * PAGE_SIZE > ARENA_BYTES) {
        check("memory", false, "the guest's arena is used up");
        done();
    }
    arena_used = at + pages * PAGE_SIZE;
    memset(arena + at, 0, pages * PAGE_SIZE);
    return arena + at;
}

void *page_alloc(u64 pages)
{
    return page_alloc_aligned(pages, PAGE_SIZE);
}

/* ---- command line */

static const char *find_option(const char *key)
{
    const char *p = command_line;

    while (*p) {
        const char *k = key;

        while (*p == ' ') {
            p++;
        }
        while (*k && *p == *k) {
            p++;
            k++;
        }
        if (!*k && (!*p || *p == ' ' || *p == '=')) {
            return p;
        }
        while (*p && *p != ' ') {
            p++;
        }
    }
    return NULL;
}

bool option(const char *key)
{
    return find_option(key) != NULL;
}

const char *option_value(const char *key, const char *missing)
{
    const char *p = find_option(key);
    u32 n = 0;

    if (!p || *p != '=') {
        return missing;
    }
    for (p++; *p && *p != ' ' && n < sizeof(value) - 1; p++) {
        value[n++] = *p;
    }
    value[n] = 0;
    return value;
}

u64 option_number(const char *key, u64 missing)
{
    const char *p = option_value(key, "");
    u64 v = 0, base = 10;

    if (!*p) {
        return missing;
    }
    if (p[0] == '0' && p[1] == 'x') {
        base = 16;
        p += 2;
    }
    for (; *p; p++) {
        u64 digit = *p >= 'a' ? (u64)(*p - 'a' + 10) : (u64)(*p - '0');

        if (digit >= base) {
            return missing;
        }
        v = v * base + digit;
    }
    return v;
}

/* ---- traps */

static struct {
    volatile bool armed;
    volatile int vector;
    u64 rbx, rbp, rsp, r12, r13, r14, r15, rip;
} guard;

void guest_trap(struct trap_frame *f);

/* Saves what a function must keep, calls, and lets guest_trap() come back to the label behind the call. */
__attribute__((noinline)) static int guarded_call(void (*code)(void *), void *arg)
{
    void *save = &guard.rbx;

    __asm__ volatile("movq %%rbx, (%2)\n\t"
                     "movq %%rbp, 8(%2)\n\t"
                     "movq %%rsp, 16(%2)\n\t"
                     "movq %%r12, 24(%2)\n\t"
                     "movq %%r13, 32(%2)\n\t"
                     "movq %%r14, 40(%2)\n\t"
                     "movq %%r15, 48(%2)\n\t"
                     "leaq 1f(%%rip), %%rdx\n\t"
                     "movq %%rdx, 56(%2)\n\t"
                     "call *%0\n"
                     "1:\n\t"
                     : "+a"(code), "+D"(arg), "+S"(save)
                     :
                     : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
    return guard.vector;
}

int trapped(void (*code)(void *), void *arg)
{
    int vector;

    guard.vector = -1;
    guard.armed = true;
    vector = guarded_call(code, arg);
    guard.armed = false;
    return vector;
}

void guest_trap(struct trap_frame *f)
{
    if ((f->vector >= 32 || f->vector == 2) && on_interrupt) {
        on_interrupt(f->vector);
        return;
    }
    trap_error = f->error;
    trap_rip = f->rip;
    __asm__ volatile("movq %%cr2, %0" : "=r"(trap_cr2));
    if (guard.armed) {
        guard.armed = false;
        guard.vector = (int)f->vector;
        f->rip = guard.rip;
        f->rsp = guard.rsp;
        f->rbx = guard.rbx;
        f->rbp = guard.rbp;
        f->r12 = guard.r12;
        f->r13 = guard.r13;
        f->r14 = guard.r14;
        f->r15 = guard.r15;
        return;
    }
    check("unexpected-exception", false, "vector %lu error 0x%lx rip 0x%lx cr2 0x%lx", f->vector, f->error,
          f->rip, trap_cr2);
    done();
}

/* ---- clock: the ACPI timer's low 24 bits, extended by what was read last */

static u64 timer_total;
static u32 timer_last;

static u64 timer_ticks(void)
{
    static u16 port;
    u32 now;

    if (!port) {
        port = acpi_pm_timer();
    }
    if (!port) {
        return rdtsc() >> 8;
    }
    now = inl(port) & 0xffffff;
    timer_total += (now - timer_last) & 0xffffff;
    timer_last = now;
    return timer_total;
}

u64 deadline_in_ms(u64 ms)
{
    return timer_ticks() + ms * 3580;
}

bool deadline_over(u64 deadline)
{
    return timer_ticks() >= deadline;
}

/* ---- start */

static void find_hypervisor(void)
{
    u32 r[4];
    char name[12];

    cpuid(1, 0, r);
    if (!(r[2] & 1u << 31)) {
        return;
    }
    cpuid(0x40000000, 0, r);
    memcpy(name, &r[1], 12);
    on_sluice = !memcmp(name, "SluiceSluice", 12);
    if (on_sluice && r[0] >= 0x40000002) {
        cpuid(0x40000002, 0, r);
        hv_base = r[0] | (u64)r[1] << 32;
        hv_bytes = (u64)r[2] << 12;
    }
}

void guest_start(const struct start_info *info);

void guest_start(const struct start_info *info)
{
    const char *p;

    for (u32 i = 0; i < 256; i++) {
        idt[i] = (struct idt_entry){
            .offset_lo = (u16)trap_stubs[i],
            .offset_mid = (u16)(trap_stubs[i] >> 16),
            .offset_hi = (u32)(trap_stubs[i] >> 32),
            .selector = 8,
            .type = 0x8e,
        };
    }
    /* The PIC keeps quiet: guests poll. */
    outb(0x21, 0xff);
    outb(0xa1, 0xff);

    if (info->magic != HVM_START_MAGIC || info->version < 1) {
        print("T: start-info FAIL magic 0x%x version %u\n", info->magic, info->version);
    }
    rsdp_address = info->rsdp;
    memory_map = (const struct memory_range *)info->memmap;
    memory_ranges = info->memmap_entries;
    p = (const char *)info->cmdline;
    for (u32 i = 0; p && p[i] && i < sizeof(command_line) - 1; i++) {
        command_line[i] = p[i];
    }
    find_hypervisor();
    print("\nI: guest '%s' on %s\n", command_line, on_sluice ? "sluice" : "the bare machine");
    guest_main();
    done();
}
