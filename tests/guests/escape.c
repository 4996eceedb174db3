/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that tries to take a processor out of Sluice, or Sluice off its feet: interrupt messages of every
 * kind, page tables and event frames in memory that is not its own, string instructions with one bad end.
 *
 * qemu: with what QEMU alone has got. bochs: without what Bochs 2.7 has not got. It stops at a read of the
 * APIC's page that is wider than a register, and its APIC stays off once it was.
 */
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/vtd.h"

#define TRAP_UD 6
#define TRAP_GP 13
#define TRAP_PF 14

#define APIC_BASE  0x1bu
#define BASE_X2    BIT(10)
#define BASE_ON    BIT(11)
#define ICR_OTHERS (3u << 18)
#define ICR_SELF   (1u << 18)
#define MODE_SMI   0x4200u
#define MODE_NMI   0x4400u
#define MODE_INIT  0x4500u
#define MODE_START 0x4600u

#define FLAG 0x9000u

static u64 apic = 0xfee00000;
static volatile u64 nmi_vector = 2 * 4;
static volatile u32 nmis;
static volatile u16 *flag = (volatile u16 *)FLAG;

static void pause_ms(u64 ms)
{
    for (u64 end = deadline_in_ms(ms); !deadline_over(end);) {
        relax();
    }
}

static void count_nmi(u64 vector)
{
    if (vector == 2) {
        nmis++;
    }
}

/* ---- page walks: the guest's own tables lead through memory that it must not see */

#define WINDOW BIT(39) /* the second entry of the top table */

static u64 *pt, *pd, *pdpt;

static void make_window(void)
{
    u64 cr3;

    __asm__ volatile("movq %%cr3, %0" : "=r"(cr3));
    pdpt = page_alloc(1);
    pd = page_alloc(1);
    pt = page_alloc(1);
    ((u64 *)(cr3 & ~0xfffull))[1] = (u64)pdpt | 3;
    pdpt[0] = (u64)pd | 3;
    pd[0] = (u64)pt | 3;
}

static void flush(void)
{
    u64 cr3;

    __asm__ volatile("movq %%cr3, %0\n\tmovq %0, %%cr3" : "=r"(cr3)::"memory");
}

static void op_load(void *at)
{
    __asm__ volatile("movl (%0), %%eax" ::"r"(at) : "rax", "memory");
}

static void op_store(void *at)
{
    __asm__ volatile("movl %%eax, (%0)" ::"r"(at), "a"(0) : "memory");
}

static void op_call(void *at)
{
    ((void (*)(void))at)();
}

static void walk_case(const char *name, u64 table)
{
    void *at = (void *)(WINDOW + 0x5678);
    int vector;

    part("walk/%s", name);
    pd[0] = table | 3;
    flush();
    vector = trapped(op_load, at);
    check("load", vector == TRAP_PF && trap_error == 0x9 && trap_cr2 == (u64)at, "%d, 0x%lx at 0x%lx", vector,
          trap_error, trap_cr2);
    vector = trapped(op_store, at);
    check("store", vector == TRAP_PF && trap_error == 0xb && trap_cr2 == (u64)at, "%d, 0x%lx at 0x%lx",
          vector, trap_error, trap_cr2);
    vector = trapped(op_call, at);
    check("call", vector == TRAP_PF && (trap_error & ~0x10ull) == 0x9 && trap_cr2 == (u64)at,
          "%d, 0x%lx at 0x%lx", vector, trap_error, trap_cr2);
    pd[0] = (u64)pt | 3;
    flush();
}

static void walks(void)
{
    make_window();
    walk_case("hypervisor", hv_base + 0x3000);
    walk_case("unit", vtd_base);
    if (!option("bochs")) {
        walk_case("apic", apic);
    }
    walk_case("messages", apic + 0x5000);
    part("walk/end");
    pt[5] = (u64)page_alloc(1) | 3;
    flush();
    check("works", trapped(op_load, (void *)(WINDOW + 0x5678)) == -1, "0x%lx", trap_error);
}

/* ---- string instructions and operands with a bad end */

static u64 string_to, string_from;

static void op_movs(void *arg)
{
    (void)arg;
    __asm__ volatile("movsl" : "+D"(string_to), "+S"(string_from)::"memory");
}

static void op_push(void *at)
{
    __asm__ volatile("pushq (%0)" ::"r"(at) : "memory");
}

static void op_jump(void *at)
{
    __asm__ volatile("jmp *(%0)" ::"r"(at) : "memory");
}

static int movs(u64 to, u64 from)
{
    string_to = to;
    string_from = from;
    return trapped(op_movs, NULL);
}

static void strings(void)
{
    u64 word = vtd_base + VTD_FEDATA, ram = (u64)page_alloc(2);
    int vector;

    part("strings");
    pt[7] = ram | 1; /* read-only */
    pt[8] = ram | 3;
    pt[9] = 0;
    flush();
    mmio_write32(word, 0x4321);
    vector = movs(WINDOW + 0x9000, word);
    check("to-nothing", vector == TRAP_PF && trap_error == 2 && trap_cr2 == WINDOW + 0x9000,
          "%d, 0x%lx at 0x%lx", vector, trap_error, trap_cr2);
    vector = movs(word, WINDOW + 0x9ffe);
    check("from-nothing", vector == TRAP_PF && trap_error == 0 && trap_cr2 == WINDOW + 0x9ffe,
          "%d, 0x%lx at 0x%lx", vector, trap_error, trap_cr2);
    check("not-written", mmio_read32(word) == 0x4321, "0x%x", mmio_read32(word));
    vector = movs(WINDOW + 0x7004, word);
    check("to-read-only", vector == TRAP_PF && trap_error == 3 && trap_cr2 == WINDOW + 0x7004,
          "%d, 0x%lx at 0x%lx", vector, trap_error, trap_cr2);
    vector = movs(WINDOW + 0x8ffe, word); /* half of it is not there */
    check("to-half", vector == TRAP_PF && trap_error == 2 && trap_cr2 == WINDOW + 0x9000,
          "%d, 0x%lx at 0x%lx", vector, trap_error, trap_cr2);
    check("half-not-written", *(u16 *)(ram + 0xffe) == 0, "0x%x", *(u16 *)(ram + 0xffe));
    pt[9] = (ram + PAGE_SIZE) | 3;
    flush();
    vector = movs(WINDOW + 0x8ffe, word);
    check("across", vector == -1 && *(u32 *)(ram + 0xffe) == 0x4321, "%d, 0x%x", vector,
          *(u32 *)(ram + 0xffe));
    check("dirty", (pt[8] & 0x60) == 0x60 && (pt[9] & 0x60) == 0x60, "0x%lx 0x%lx", pt[8], pt[9]);
    vector = movs(word, 0x8000000000000000);
    check("not-canonical", vector == TRAP_GP, "%d", vector);
    vector = movs(word, vtd_base + VTD_VER);
    check("register-to-register", vector == -1 && mmio_read32(word) == mmio_read32(vtd_base + VTD_VER),
          "%d, 0x%x", vector, mmio_read32(word));
    vector = movs(word, hv_base + 0x1000);
    check("from-hypervisor", vector == -1 && mmio_read32(word) == 0xffff, "%d, 0x%x", vector,
          mmio_read32(word));
    vector = movs(hv_base + 0x1000, word);
    check("to-hypervisor", vector == -1 && mmio_read32(hv_base + 0x1000) == ~0u, "%d", vector);
    mmio_write32(word, 0);
    vector = trapped(op_push, (void *)word);
    check("push", vector == TRAP_UD, "%d", vector);
    vector = trapped(op_jump, (void *)word);
    check("jump", vector == TRAP_UD, "%d", vector);
    vector = trapped(op_call, (void *)hv_base);
    check("call", vector == TRAP_UD, "%d", vector);
}

/* ---- messages */

/*
 * Where another processor would go: real mode's NMI vector, the system-management entry, a start-up page. It
 * counts itself at FLAG unless CPUID says that it runs on Sluice.
 */
static void put_code(void)
{
    static const u8 code[] = {
        0xfa,       /* cli */
        0x31, 0xc0, /* xor ax, ax */
        0x8e, 0xd8, /* mov ds, ax */
        0x66, 0xb8, 0x00, 0x00,     0x00,
        0x40,       /* mov eax, 0x40000000 */
        0x0f, 0xa2, /* cpuid */
        0x66, 0x81, 0xfb, 'S',      'l',
        'u',  'i',                                   /* cmp ebx, "Slui" */
        0x74, 0x05,                                  /* je to the hlt */
        0xf0, 0xff, 0x06, (u8)FLAG, (u8)(FLAG >> 8), /* lock inc word [FLAG] */
        0xf4,                                        /* hlt */
        0xeb, 0xfd,                                  /* jmp to the hlt */
    };

    memcpy((void *)0x8000, code, sizeof(code));
    memcpy((void *)0x38000, code, sizeof(code));
    mmio_write32(nmi_vector, 0x08000000); /* 0800:0000 */
    *flag = 0;
}

static void nobody_else(const char *name)
{
    pause_ms(20);
    check(name, *flag == 0, "%u ran the guest's code outside", *flag);
    *flag = 0;
}

static void icr(u32 destination, u32 command)
{
    mmio_write32(apic + 0x310, destination << 24);
    mmio_write32(apic + 0x300, command);
}

/* What is obeyed by the sender too: an INIT to the processor that booted is a reset, see reset.c. */
static bool reaches_us(u32 mode)
{
    return (mode & 0x700) == 0x400 || (mode & 0x700) == 0x500;
}

static void messages(void)
{
    static const u32 modes[] = { MODE_NMI, MODE_SMI, MODE_INIT, MODE_START | 8, 0x4300, 0x4700 };
    u32 high;

    part("messages");
    mmio_write32(apic + 0xf0, 0x1ff);
    put_code();
    for (u32 i = 0; i < ARRAY_SIZE(modes); i++) {
        icr(1, modes[i]);
        icr(0, modes[i] | ICR_OTHERS);
        icr(0xff, reaches_us(modes[i]) ? modes[i] | ICR_OTHERS : modes[i]);
        icr(2, modes[i] | BIT(11)); /* logical */
        nobody_else("others");
    }
    /* To oneself: an NMI comes, exactly one for each; the rest does not. */
    on_interrupt = count_nmi;
    nmis = 0;
    icr(0, MODE_NMI);
    pause_ms(1);
    check("nmi-self", nmis == 1, "%u", nmis);
    icr(0xff, MODE_NMI);
    pause_ms(1);
    check("nmi-broadcast", nmis == 2, "%u", nmis);
    icr(7, MODE_NMI | 2u << 18);
    pause_ms(1);
    check("nmi-all", nmis == 3, "%u", nmis);
    high = mmio_read32(apic + 0x310);
    check("high-half", high == 7u << 24, "0x%x", high);
    for (u32 i = 0; i < ARRAY_SIZE(modes); i++) {
        if (!reaches_us(modes[i])) {
            icr(0, modes[i] | ICR_SELF);
            icr(0, modes[i]);
        }
    }
    nobody_else("self");

    /* A processor's write to the interrupt range is a message. */
    part("range");
    for (u32 id = 0; id < 4; id++) {
        for (u32 i = 0; i < ARRAY_SIZE(modes); i++) {
            mmio_write32(apic + id * PAGE_SIZE, modes[i]);
            mmio_write64(apic + id * PAGE_SIZE, modes[i]);
            mmio_write32(apic + id * PAGE_SIZE + 8, modes[i]);
        }
    }
    mmio_write32(apic + 0xff000, MODE_INIT);
    nobody_else("range");
    check("no-nmi", nmis == 3, "%u", nmis);

    part("registers");
    mmio_write32(apic + 0x20, 5u << 24);
    check("id", mmio_read32(apic + 0x20) == 0, "0x%x", mmio_read32(apic + 0x20));
    mmio_write32(apic + 0x360, 0x10500); /* LINT1 as INIT */
    check("lvt-init", (mmio_read32(apic + 0x360) & 0x700) != 0x500, "0x%x", mmio_read32(apic + 0x360));
    mmio_write32(apic + 0x360, 0x10400);
    check("lvt-nmi", mmio_read32(apic + 0x360) == 0x10400, "0x%x", mmio_read32(apic + 0x360));
    mmio_write64(apic + 0x2fc, (u64)MODE_INIT << 32);
    mmio_write64(apic + 0x300, MODE_INIT);
    *(volatile u8 *)(apic + 0x301) = 0x45;
    *(volatile u16 *)(apic + 0x300) = MODE_INIT;
    mmio_write32(apic + 0x304, MODE_INIT);
    mmio_write32(apic + 0x2ff, MODE_INIT << 8);
    nobody_else("widths");
    mmio_write32(apic + 0x80, 0x20);
    check("tpr", mmio_read32(apic + 0x80) == 0x20, "0x%x", mmio_read32(apic + 0x80));
    __asm__ volatile("orl $0x10, (%0)" ::"r"(apic + 0x80) : "memory", "cc");
    check("tpr-or", mmio_read32(apic + 0x80) == 0x30, "0x%x", mmio_read32(apic + 0x80));
    mmio_write32(apic + 0x80, 0);
}

static void x2apic(void)
{
    static const u32 modes[] = { MODE_SMI, MODE_INIT, MODE_START | 8 };
    u64 base = rdmsr(APIC_BASE);
    u32 r[4];

    part("x2apic");
    cpuid(1, 0, r);
    if (!(r[2] & BIT(21))) {
        skip("x2apic", "there is none");
        return;
    }
    wrmsr(APIC_BASE, base | BASE_X2);
    check("on", rdmsr(APIC_BASE) == (base | BASE_X2), "0x%lx", rdmsr(APIC_BASE));
    check("id", rdmsr(0x802) == 0, "0x%lx", rdmsr(0x802));
    put_code();
    wrmsr(0x830, MODE_NMI | 1ull << 32);
    wrmsr(0x830, MODE_NMI | ICR_OTHERS);
    for (u32 i = 0; i < ARRAY_SIZE(modes); i++) {
        wrmsr(0x830, modes[i] | 1ull << 32);
        wrmsr(0x830, modes[i] | ICR_OTHERS);
        if (!reaches_us(modes[i])) {
            wrmsr(0x830, modes[i]);
            wrmsr(0x830, modes[i] | 0xffffffffull << 32);
        }
    }
    wrmsr(0x836, 0x10500);
    check("lvt-init", (rdmsr(0x836) & 0x700) != 0x500, "0x%lx", rdmsr(0x836));
    nobody_else("others");
    nmis = 0;
    wrmsr(0x830, MODE_NMI);
    pause_ms(1);
    check("nmi-self", nmis == 1, "%u", nmis);
    if (option("bochs")) {
        return;
    }
    wrmsr(APIC_BASE, base & ~(BASE_X2 | BASE_ON));
    wrmsr(APIC_BASE, base);
    check("off", rdmsr(APIC_BASE) == base && mmio_read32(apic + 0x20) == 0, "0x%lx", rdmsr(APIC_BASE));
}

/* ---- firmware's SMI handler, asked to go on elsewhere: in QEMU's BIOS command B5h with RCX 1234h loads RIP
 * from RBX, without paging and with every right of who raised the SMI */

#define SMI_PORT 0xb2u

static void firmware(void)
{
    static const u8 reset[] = { 0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4 }; /* to port CF9h; hlt */
    u64 rax = 0xb5, rbx = FLAG, rcx = 0x1234;

    part("firmware");
    for (u32 i = 0; i < sizeof(reset); i++) {
        ((volatile u8 *)FLAG)[i] = reset[i];
    }
    __asm__ volatile("outb %%al, %%dx" : "+a"(rax), "+b"(rbx), "+c"(rcx) : "d"(SMI_PORT) : "memory");
    check("registers", rax == 0xb5 && rbx == FLAG && rcx == 0x1234, "%lx %lx %lx", rax, rbx, rcx);
}

/* ---- QEMU's configuration device, asked to write into memory by itself */

#define FW_CFG_SELECTOR 0x510u
#define FW_CFG_DATA     0x511u
#define FW_CFG_DMA      0x514u

static u32 fw_cfg(u16 key)
{
    u32 value = 0;

    outw(FW_CFG_SELECTOR, key);
    for (u32 i = 0; i < 4; i++) {
        value = value << 8 | inb(FW_CFG_DATA);
    }
    return value;
}

static void emulator(void)
{
    volatile u32 *dma = page_alloc(1),
                 *target = page_alloc(1); /* control, length, address; high byte first */
    const u64 where = (u64)target;

    part("emulator");
    check("signature", fw_cfg(0) == 0x51454d55, "0x%x", fw_cfg(0));
    check("features", fw_cfg(1) == 0x01000000, "0x%x", fw_cfg(1));
    dma[0] = __builtin_bswap32(0x0a); /* select entry 0, read */
    dma[1] = __builtin_bswap32(4);
    dma[2] = __builtin_bswap32((u32)(where >> 32));
    dma[3] = __builtin_bswap32((u32)where);
    outl(FW_CFG_DMA, __builtin_bswap32((u32)((u64)dma >> 32)));
    outl(FW_CFG_DMA + 4, __builtin_bswap32((u32)(u64)dma));
    check("dma", dma[0] == __builtin_bswap32(0x0a) && !target[0], "0x%x, 0x%x", dma[0], target[0]);
    check("dma-port", inl(FW_CFG_DMA) == ~0u, "0x%x", inl(FW_CFG_DMA));
}

/* ---- who we are */

static void names(void)
{
    u64 rax = 0;
    u32 r[4];

    part("names");
    if (is_intel()) {
        __asm__ volatile("vmcall" : "+a"(rax)::"memory");
    } else {
        __asm__ volatile("vmmcall" : "+a"(rax)::"memory");
    }
    cpuid(0x40000001, 0, r);
    check("version", rax == r[0] && rax && rax < BIT(32), "0x%lx and 0x%x", rax, r[0]);
    check("promises", (r[1] & 0x1f) == (option("unsafe") ? 0x0e : 0x1f), "0x%x", r[1]);
    cpuid(0x40000000, 0, r);
    check("last", r[0] == 0x40000002, "0x%x", r[0]);
    cpuid(0x40000003, 0, r);
    check("behind", !(r[0] | r[1] | r[2] | r[3]), "0x%x", r[0]);
}

/* ---- the end: descriptor tables and stacks that are not there */

static void die(const char *how)
{
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) table = { 0xfff, hv_base };

    part("die/%s", how);
    if (streq(how, "gates")) {
        __asm__ volatile("lidt %0\n\tint3" ::"m"(table));
    } else if (streq(how, "limit")) {
        table.limit = 0;
        __asm__ volatile("lidt %0\n\tint3" ::"m"(table));
    } else {
        __asm__ volatile("movq %0, %%rsp\n\tint3" ::"r"(hv_base + 0x2000));
    }
    check("dead", false, "it lives");
}

void guest_main(void)
{
    if (!on_sluice || !vtd_find()) {
        check("setup", false, "no unit, or no hypervisor");
        return;
    }
    if (option("die")) {
        die(option_value("die", "gates"));
        return;
    }
    names();
    walks();
    strings();
    firmware();
    if (option("qemu")) {
        emulator();
    }
    messages();
    x2apic();
    part("end");
    check("alive", vtd_read64(VTD_CAP) == vtd_cap, "0x%lx", vtd_read64(VTD_CAP));
}
