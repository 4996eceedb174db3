/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several processors: started, stopped and started again, interrupts and NMIs between them, both modes of the
 * APIC, and the virtual unit and configuration space used by all of them at once. cpus=N says how many there
 * are.
 */
#include "tests/guests/lib/cpus.h"
#include "tests/guests/lib/guest.h"
#include "tests/guests/lib/pci.h"
#include "tests/guests/lib/vtd.h"

#define LAPIC     0xfee00000ull
#define APIC_LDR  0xd0u
#define APIC_DFR  0xe0u
#define APIC_BASE 0x1bu
#define BASE_X2   BIT(10)
#define BASE_ON   BIT(11)

#define VECTOR  0x51u
#define PINGS   100u
#define ROUNDS  200u
#define CHANGES 20u

#define INIT_CR0_CLEAR 0x8000000fu /* paging, protection and what the FPU needs */

static volatile bool hold_nmi; /* NMI handlers do not end */

static void on_event(u64 vector)
{
    struct cpu *c = cpu_self();

    if (vector == 2) {
        c->nmis++;
        while (hold_nmi && c->index) {
            relax();
        }
        return;
    }
    c->interrupts++;
    cpu_eoi();
}

static bool becomes(const volatile u32 *word, u32 value)
{
    for (u64 end = deadline_in_ms(2000); *word != value;) {
        if (deadline_over(end)) {
            return false;
        }
        relax();
    }
    return true;
}

/* ---- jobs */

static void spin(struct cpu *c)
{
    while (!c->stop) {
        c->count++;
        relax();
    }
}

static void spin_open(struct cpu *c)
{
    __asm__ volatile("sti");
    spin(c);
    __asm__ volatile("cli");
}

static void halt(struct cpu *c)
{
    c->count = 1;
    for (;;) {
        __asm__ volatile("hlt");
    }
}

static bool stop(struct cpu *c)
{
    c->stop = true;
    return cpu_finish(c);
}

static void ask_cpuid(struct cpu *c)
{
    u32 r[4];

    cpuid(0x40000000, 0, r);
    c->count = r[1];
    cpuid(1, 0, r);
    c->interrupts = r[1] >> 24;
}

/* ---- who is there */

static void everyone(void)
{
    u32 r[4], here, first;

    cpuid(0x40000000, 0, r);
    here = r[1];
    cpuid(1, 0, r);
    first = r[0];
    for (u32 i = 1; i < nr_cpus; i++) {
        struct cpu *c = &cpus[i];

        check("start-cr0", !(c->start_cr0 & INIT_CR0_CLEAR), "0x%x", c->start_cr0);
        check("start-edx", c->start_edx == first, "0x%x", c->start_edx);
        cpu_do(c, ask_cpuid);
        /* Whoever ran outside of Sluice would see another name there. */
        check("where", cpu_finish(c) && (u32)c->count == here, "0x%lx", c->count);
        check("id", c->interrupts == c->apic_id, "%u and %u", c->interrupts, c->apic_id);
        for (u32 j = 0; j < i; j++) {
            check("ids-differ", cpus[j].apic_id != c->apic_id, "%u", c->apic_id);
        }
        c->interrupts = 0;
    }
}

/* ---- interrupts */

static void interrupts(void)
{
    u64 start, ticks;

    for (u32 i = 1; i < nr_cpus; i++) {
        struct cpu *c = &cpus[i];
        bool ok = true;

        c->interrupts = 0;
        cpu_do(c, spin_open);
        start = rdtsc();
        for (u32 n = 1; n <= PINGS && ok; n++) {
            cpu_send(c->apic_id, 0x4000 | VECTOR);
            ok = becomes(&c->interrupts, n);
        }
        ticks = (rdtsc() - start) / PINGS;
        check("fixed", ok, "%u of %u", c->interrupts, PINGS);
        print("I: ticks %lu\n", ticks);
        check("stop", stop(c), "it does not end");
    }
    for (u32 i = 1; i < nr_cpus; i++) {
        cpus[i].interrupts = 0;
        cpu_do(&cpus[i], spin_open);
    }
    cpu_send(0, 0x4000 | SEND_OTHERS | VECTOR);
    for (u32 i = 1; i < nr_cpus; i++) {
        check("others", becomes(&cpus[i].interrupts, 1), "%u", cpus[i].interrupts);
        check("stop", stop(&cpus[i]), "it does not end");
    }
}

static void expect_nmis(const char *name, u32 want)
{
    for (u32 i = 1; i < nr_cpus; i++) {
        check(name, becomes(&cpus[i].nmis, want), "processor %u had %u of %u", i, cpus[i].nmis, want);
    }
}

static void set_logical(struct cpu *c)
{
    mmio_write32(LAPIC + APIC_DFR, ~0u);
    mmio_write32(LAPIC + APIC_LDR, 1u << (24 + c->index));
}

static u32 logical_id(const struct cpu *c)
{
    return c->x2 ? (c->apic_id >> 4) << 16 | 1u << (c->apic_id & 15) : 1u << c->index;
}

static void nmis(void)
{
    for (u32 i = 1; i < nr_cpus; i++) {
        cpus[i].nmis = 0;
        if (!cpus[i].x2) {
            cpu_do(&cpus[i], set_logical);
            check("logical-id", cpu_finish(&cpus[i]), "it does not end");
        }
        cpu_do(&cpus[i], spin);
    }
    cpus[0].nmis = 0;
    for (u32 i = 1; i < nr_cpus; i++) {
        cpu_send(cpus[i].apic_id, SEND_NMI);
    }
    expect_nmis("nmi", 1);
    cpu_send(0, SEND_NMI | SEND_OTHERS);
    expect_nmis("nmi-others", 2);
    for (u32 i = 1; i < nr_cpus; i++) {
        cpu_send(logical_id(&cpus[i]), SEND_NMI | SEND_LOGICAL);
    }
    expect_nmis("nmi-logical", 3);
    cpu_send(cpus[0].x2 ? ~0u : 0xff, SEND_NMI);
    expect_nmis("nmi-broadcast", 4);
    check("nmi-own", cpus[0].nmis == 1, "%u", cpus[0].nmis);
    cpu_send(0, SEND_NMI | SEND_ALL);
    expect_nmis("nmi-all", 5);
    check("nmi-own", cpus[0].nmis == 2, "%u", cpus[0].nmis);

    /* While one is handled another is kept, but not two. */
    hold_nmi = true;
    cpu_send(0, SEND_NMI | SEND_OTHERS);
    expect_nmis("nmi-held", 6);
    cpu_send(0, SEND_NMI | SEND_OTHERS);
    pause_ms(5);
    cpu_send(0, SEND_NMI | SEND_OTHERS);
    pause_ms(5);
    expect_nmis("nmi-blocked", 6);
    hold_nmi = false;
    expect_nmis("nmi-next", 7);
    pause_ms(5);
    expect_nmis("nmi-kept-one", 7);
    for (u32 i = 1; i < nr_cpus; i++) {
        check("stop", stop(&cpus[i]), "it does not end");
    }
}

/* ---- what the hypervisor's processors tell each other is nobody else's business */

#define MTRR_CAP      0xfeu
#define MTRR_VARIABLE 0x200u
#define MTRR_VALID    BIT(11)

/* Each time a memory type changes, every processor has to leave the guest for a moment. */
static void changes(void)
{
    u32 base = MTRR_VARIABLE + 2 * ((rdmsr(MTRR_CAP) & 0xff) - 1), r[4];
    u64 was_base = rdmsr(base), was_mask = rdmsr(base + 1);

    if (was_mask & MTRR_VALID) {
        skip("changes", "all registers are in use");
        return;
    }
    cpuid(0x80000008, 0, r);
    for (u32 i = 1; i < nr_cpus; i++) {
        cpus[i].nmis = 0;
        cpu_do(&cpus[i], spin);
    }
    cpus[0].nmis = 0;
    wrmsr(base, (u64)page_alloc(1)); /* uncached */
    for (u32 n = 0; n < CHANGES; n++) {
        wrmsr(base + 1, (MASK(51, 12) & (BIT(r[0] & 0xff) - 1)) | MTRR_VALID);
        wrmsr(base + 1, was_mask);
    }
    wrmsr(base, was_base);
    for (u32 i = 0; i < nr_cpus; i++) {
        check("no-nmi", !cpus[i].nmis, "processor %u had %u", i, cpus[i].nmis);
    }
    /* And the next one of ours is not taken for one of those. */
    cpu_send(0, SEND_NMI | SEND_OTHERS);
    expect_nmis("nmi-after-changes", 1);
    for (u32 i = 1; i < nr_cpus; i++) {
        check("stop", stop(&cpus[i]), "it does not end");
    }
}

/* ---- INIT of a running processor */

/* Bochs 2.7 keeps NMIs blocked through a VM entry that says they are not, until an IRET; processors do not.
 */
static void iret(struct cpu *c)
{
    u64 sp;

    c->count = 1;
    __asm__ volatile("movq %%rsp, %0\n\t"
                     "pushq $0x10\n\t"
                     "pushq %0\n\t"
                     "pushfq\n\t"
                     "pushq $8\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "iretq\n"
                     "1:"
                     : "=&r"(sp)
                     :
                     : "rax", "memory");
}

static void init_in(const char *name, struct cpu *c, void (*job)(struct cpu *))
{
    u64 before;

    c->nmis = 0;
    cpu_do(c, job);
    for (u64 end = deadline_in_ms(2000); !c->count && !deadline_over(end);) {
        relax();
    }
    if (hold_nmi) {
        cpu_send(c->apic_id, SEND_NMI);
        check("in-nmi", becomes(&c->nmis, 1), "%u", c->nmis);
    }
    cpu_send(c->apic_id, SEND_INIT);
    pause_ms(5);
    before = c->count;
    /* No NMI wakes one that waits for its start-up message; the emulated machine's takes it all the same, and
     * runs off into the BIOS. */
    if (on_sluice) {
        cpu_send(c->apic_id, SEND_NMI);
    }
    pause_ms(10);
    check(name, c->count == before && c->nmis == hold_nmi, "it ran on: %lu, %lu", before, c->count);
    hold_nmi = false;
    check("again", cpu_restart(c), "it does not come back");
    check("again-cr0", !(c->start_cr0 & INIT_CR0_CLEAR), "0x%x", c->start_cr0);
    if (is_intel()) {
        cpu_do(c, iret);
        check("again-iret", cpu_finish(c), "it does not end");
    }
    c->nmis = 0;
    cpu_do(c, spin);
    cpu_send(c->apic_id, SEND_NMI);
    check("again-nmi", becomes(&c->nmis, 1), "%u", c->nmis);
    /* It runs: a start-up message means nothing to it. */
    before = c->count;
    cpu_send(c->apic_id, SEND_STARTUP | AP_PAGE >> 12);
    pause_ms(2);
    for (u64 end = deadline_in_ms(2000); c->count == before && !deadline_over(end);) {
        relax();
    }
    check("no-restart", c->job && c->count != before, "%lu, %lu", before, c->count);
    check("stop", stop(c), "it does not end");
}

static void inits(void)
{
    for (u32 i = 1; i < nr_cpus; i++) {
        init_in("init-spin", &cpus[i], spin);
        init_in("init-halt", &cpus[i], halt);
        hold_nmi = true;
        init_in("init-nmi", &cpus[i], spin);
    }
}

/* ---- the unit and configuration space, by all at once */

static struct guest_lock unit_lock;
static volatile u32 *words; /* one for each processor, 64 bytes apart */
static volatile u32 arrived;
static u32 nr_waits;

static void submit(struct cpu *c)
{
    volatile u32 *word = words + 16 * c->index;

    for (u32 n = 1; n <= ROUNDS; n++) {
        u32 cookie = c->index << 16 | n;

        guest_lock(&unit_lock);
        vtd_put(desc_iotlb(IOTLB_PAGE, 1 + c->index, (u64)n << 12, 0));
        vtd_put(desc_wait(cookie, (u64)word));
        nr_waits++;
        vtd_ring();
        guest_unlock(&unit_lock);
        for (u64 tries = 0; *word != cookie; tries++) {
            if (tries > 100000000) {
                return;
            }
            relax();
        }
        c->count = n;
    }
}

/* What others do with registers meanwhile has no effect on it. */
static void poke(struct cpu *c)
{
    while (!c->stop) {
        (void)vtd_read64(VTD_IQH);
        (void)vtd_read32(VTD_FSTS);
        vtd_write32(VTD_IECTL, c->count++ & 1 ? BIT(31) : 0);
    }
    vtd_write32(VTD_IECTL, BIT(31));
}

/* All write the same tail at once: what lies before it is done once. */
static void same_tail(struct cpu *c)
{
    c->count = __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    while (arrived < nr_cpus) {
        relax();
    }
    vtd_ring();
}

static void submit_with(u32 submitters)
{
    for (u32 i = 1; i < submitters; i++) {
        cpu_do(&cpus[i], submit);
    }
    cpus[0].count = 0;
    submit(&cpus[0]);
    for (u32 i = 0; i < submitters; i++) {
        check("submit", cpu_finish(&cpus[i]) && cpus[i].count == ROUNDS, "processor %u: %lu of %u", i,
              cpus[i].count, ROUNDS);
    }
}

static void unit(void)
{
    u32 data;

    if (!vtd_find()) {
        skip("unit", "there is none");
        return;
    }
    words = page_alloc(1);
    check("queue", vtd_queue_on(0), "GSTS 0x%x", vtd_read32(VTD_GSTS));
    submit_with(nr_cpus);
    cpu_do(&cpus[nr_cpus - 1], poke);
    submit_with(nr_cpus - 1);
    check("poke", stop(&cpus[nr_cpus - 1]), "it does not end");
    for (u32 n = 0; n < ROUNDS; n++) {
        for (u32 i = 0; i < 3; i++) {
            vtd_put(desc_iotlb(IOTLB_DOMAIN, 1 + i, 0, 0));
        }
        data = vtd_next_cookie();
        vtd_put(desc_wait(data, (u64)vtd_status));
        nr_waits++;
        arrived = 0;
        for (u32 i = 1; i < nr_cpus; i++) {
            cpu_do(&cpus[i], same_tail);
        }
        same_tail(&cpus[0]);
        bool ok = vtd_wait_status(data, 1000);
        for (u32 i = 1; i < nr_cpus; i++) {
            ok &= cpu_finish(&cpus[i]);
        }
        if (!ok) {
            check("same-tail", false, "round %u", n);
            return;
        }
    }
    check("same-tail", !(vtd_read32(VTD_FSTS) & FSTS_IQE), "FSTS 0x%x", vtd_read32(VTD_FSTS));
    print("I: waits %u\n", nr_waits);
}

static u32 by_ports, by_ecam; /* functions */
static volatile u32 wrong;

static void write_ports(struct cpu *c)
{
    for (u32 n = 0; n < ROUNDS; n++) {
        pci_write(by_ports, PCI_INTLINE, 1, n & 0x7f);
        if (pci_read(by_ports, PCI_INTLINE, 1) != (n & 0x7f)) {
            wrong++;
        }
    }
    c->count = ROUNDS;
}

static void write_ecam(struct cpu *c)
{
    volatile u8 *line = (volatile u8 *)pci_ecam_address(by_ecam, PCI_INTLINE);

    for (u32 n = 0; n < ROUNDS; n++) {
        *line = 0x80 | (n & 0x7f);
        if (*line != (0x80 | (n & 0x7f))) {
            wrong++;
        }
    }
    c->count = ROUNDS;
}

/* One aims the ports at a register that is firmware's, the other at one that is not, without a lock. */
static void aim_and_write(struct cpu *c)
{
    u32 target = c->index ? 0x60 : PCI_INTLINE; /* of the host bridge: where ECAM is; nothing */

    for (u32 n = 0; n < ROUNDS * 4; n++) {
        outl(0xcf8, 0x80000000u | target);
        outl(0xcfc, 0xe0000001u);
    }
    c->count = 1;
}

static void configuration(void)
{
    u32 before;

    by_ports = 0;
    by_ecam = pci_find(0x8086, 0x2918, 0x2918, 0);
    if (by_ecam == PCI_NONE || !pci_ecam()) {
        skip("configuration", "another chipset");
        return;
    }
    cpu_do(&cpus[1], write_ecam);
    by_ports = pci_find(0x8086, 0x2930, 0x2930, 0);
    write_ports(&cpus[0]);
    check("both-ways", cpu_finish(&cpus[1]) && !wrong && cpus[1].count == ROUNDS, "%u wrong", wrong);
    if (!on_sluice) {
        return;
    }
    before = pci_read(0, 0x60, 4);
    cpu_do(&cpus[1], aim_and_write);
    aim_and_write(&cpus[0]);
    check("race", cpu_finish(&cpus[1]) && pci_read(0, 0x60, 4) == before, "0x%x was 0x%x",
          pci_read(0, 0x60, 4), before);
}

/* ---- modes of the APIC */

static void to_x2(struct cpu *c)
{
    wrmsr(APIC_BASE, rdmsr(APIC_BASE) | BASE_X2);
    c->x2 = true;
    c->count = rdmsr(0x802) == c->apic_id ? 1 + rdmsr(0x80d) : 0;
}

static void off_and_on(struct cpu *c)
{
    u64 base = rdmsr(APIC_BASE);

    wrmsr(APIC_BASE, base & ~(BASE_X2 | BASE_ON));
    c->x2 = false;
    c->count = !(rdmsr(APIC_BASE) & BASE_ON);
    wrmsr(APIC_BASE, base & ~BASE_X2);
    c->count +=
        (rdmsr(APIC_BASE) & (BASE_ON | BASE_X2)) == BASE_ON && mmio_read32(LAPIC + 0x20) >> 24 == c->apic_id;
    mmio_write32(LAPIC + 0xf0, 0x1ff);
}

/* Out of the mode, whichever it is, through off to xAPIC; afterwards the processor is reached as before. */
static void through_off(void)
{
    for (u32 i = 1; i < nr_cpus; i++) {
        struct cpu *c = &cpus[i];

        cpu_do(c, off_and_on);
        check("off-and-on", cpu_finish(c) && c->count == 2, "processor %u: %lu", i, c->count);
        c->nmis = 0;
        cpu_do(c, spin);
        cpu_send(c->apic_id, SEND_NMI);
        check("nmi-after", becomes(&c->nmis, 1), "%u", c->nmis);
        check("stop", stop(c), "it does not end");
    }
}

static void modes(void)
{
    bool ids = false; /* logical ones */
    u32 r[4];

    /* An emulated machine's APIC may stay off once it was. */
    if (on_sluice) {
        through_off();
    }
    cpuid(1, 0, r);
    if (!(r[2] & BIT(21))) {
        skip("x2apic", "there is none");
        return;
    }
    to_x2(&cpus[0]);
    check("on", cpus[0].count, "0x%lx id 0x%lx", rdmsr(APIC_BASE), rdmsr(0x802));
    for (u32 i = 1; i < nr_cpus; i++) {
        cpu_do(&cpus[i], to_x2);
        check("on", cpu_finish(&cpus[i]) && cpus[i].count, "processor %u", i);
        ids |= cpus[i].count != 1;
    }
    for (u32 i = 0; i < nr_cpus && ids; i++) {
        check("logical-id", cpus[i].count == 1 + logical_id(&cpus[i]), "processor %u: 0x%lx", i,
              cpus[i].count);
    }
    interrupts();
    nmis();
    inits();
    if (!ids) {
        skip("x2apic-off", "the emulated APIC has no logical id in this mode, and does not come back");
        return;
    }
    through_off();
}

/* The last processor dies while all others count on the console. */
static void die(struct cpu *c)
{
    static const struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) none;

    c->count = 1;
    __asm__ volatile("lidt %0; ud2" ::"m"(none));
}

void guest_main(void)
{
    cpus_init();
    on_interrupt = on_event;
    part("start");
    bool started = cpus_start((u32)option_number("cpus", 2));
    check("processors", started, "%u started", nr_cpus - 1);
    if (nr_cpus < 2) {
        return;
    }
    if (option("die")) {
        cpu_do(&cpus[nr_cpus - 1], die);
        for (u32 n = 0;; n++) {
            print("I: alive %u\n", n);
        }
    }
    everyone();
    part("interrupts");
    interrupts();
    part("nmi");
    nmis();
    part("changes");
    changes();
    part("init");
    inits();
    part("unit");
    unit();
    part("configuration");
    configuration();
    part("x2apic");
    modes();
    part("end");
    check("alive", true, "unreachable");
}
