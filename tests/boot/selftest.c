/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for hv/main.c in an image of its own: shows that what boot/ and arch/ promise holds after the
 * move, then does what `die=` on the command line asks for. Run by tests/e2e/test_boot.py, which reads
 * "sluice: T: <check> ok" or "... FAIL <why>".
 */
#include "hv/main.h"
#include "hv/mem.h"
#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/pci.h"
#include "arch/percpu.h"
#include "arch/string.h"

#define REGION   ((u64)16 << 20)
#define MSR_NONE 0x800 /* of the x2APIC, which firmware does not turn on */

extern const u8 image_text[], image_text_end[], image_rodata[];

static void check(const char *name, bool good, const char *why)
{
    if (good)
        log_info("T: %s ok", name);
    else
        log_info("T: %s FAIL %s", name, why);
}

/* --- the page tables --- */

struct leaf {
    u64 va, pa, size;
    bool write, exec, uncached;
};

struct found {
    u64 leaves, text, wx, low, region_twice, not_memory, cached_mmio;
};

static bool is_memory(const struct boot_info *info, u64 pa, u64 size)
{
    u64 at = pa;

    for (unsigned i = 0; i < info->nr_ranges && at < pa + size; i++) {
        const struct boot_range *r = &info->ranges[i];
        bool memory = r->type == BOOT_MEM_RAM || r->type == BOOT_MEM_ACPI || r->type == BOOT_MEM_NVS;

        if (memory && align_down(r->base, PAGE_SIZE) <= at)
            at = MAX(at, align_up(r->base + r->size, PAGE_SIZE));
    }
    return at >= pa + size;
}

static void judge(const struct boot_info *info, const struct leaf *leaf, struct found *f)
{
    f->leaves++;
    f->text += leaf->exec;
    f->wx += leaf->write && leaf->exec;
    if (leaf->va >= IMAGE_VA) {
        return;
    } else if (leaf->va >= MMIO_VA) {
        f->cached_mmio += !leaf->uncached;
    } else if (leaf->va >= DIRECT_VA) {
        f->region_twice += in_region(leaf->pa, leaf->size);
        f->not_memory += !is_memory(info, leaf->pa, leaf->size);
    } else {
        f->low++;
    }
}

static void walk(const struct boot_info *info, u64 table, unsigned level, u64 va, struct found *f)
{
    const u64 *entries = phys_to_virt(table);

    for (u64 i = 0; i < 512; i++) {
        u64 entry = entries[i], size = 1ull << (12 + 9 * (level - 1)), at = va + i * size;

        if (level == 4 && i >= 256)
            at |= 0xffff000000000000ull;
        if (!(entry & 1))
            continue;
        if (level > 1 && !(entry & 0x80)) {
            walk(info, entry & MASK(51, 12), level - 1, at, f);
            continue;
        }
        judge(info,
              &(struct leaf){ .va = at,
                              .pa = entry & MASK(51, 12) & ~(size - 1),
                              .size = size,
                              .write = entry & 2,
                              .exec = !(entry >> 63),
                              .uncached = (entry & 0x18) == 0x18 },
              f);
    }
}

/* `fresh`: nothing was mapped since the move, neither firmware's reserved memory nor devices. */
static void check_space(const struct boot_info *info, bool fresh)
{
    struct found f = { 0 };

    walk(info, read_cr3() & MASK(51, 12), 4, 0, &f);
    log_info("%lu leaves, %lu of them text", f.leaves, f.text);
    check("nothing writable is executable", !f.wx && f.text, "W and X");
    check("only text is executable", f.text == (u64)(image_text_end - image_text) / PAGE_SIZE, "other pages");
    check("nothing of the loader's address space is left", !f.low, "low mappings");
    check("the region is mapped once", !f.region_twice, "it is in the direct map");
    if (fresh)
        check("the direct map holds memory only", !f.not_memory, "it holds other addresses");
    else
        check("device registers are uncached", !f.cached_mmio, "cached");
}

/* --- the rest --- */

static void check_memory(const struct boot_info *info)
{
    unsigned reached = 0;

    for (unsigned i = 0; i < info->nr_ranges; i++) {
        const struct boot_range *r = &info->ranges[i];
        u64 ends[] = { align_up(r->base, 8), align_down(r->base + r->size, 8) - 8 };

        for (unsigned e = 0; e < 2 && r->type == BOOT_MEM_RAM && r->size >= 16; e++) {
            volatile u64 *word = phys_to_virt(ends[e]);

            reached += virt_to_phys((void *)word) == ends[e];
            if (!in_region(ends[e], 8))
                *word = *word;
        }
        reached += r->type == BOOT_MEM_RAM && r->size >= 16 ? 0 : 2;
    }
    check("all RAM is reached", reached == 2 * info->nr_ranges, "address arithmetic");
    check("the move was clear of the image and the modules",
          !ranges_overlap(region_base(), region_size(), info->image_base, info->image_size), "overlap");
    for (unsigned i = 0; i < info->nr_modules; i++) {
        const u8 *data = phys_to_virt(info->modules[i].base);
        u64 hash = 0xcbf29ce484222325ull;

        for (u64 n = 0; n < info->modules[i].size; n++)
            hash = (hash ^ data[n]) * 0x100000001b3ull;
        log_info("module %u size %lu hash %016lx '%s'", i, info->modules[i].size, hash,
                 info->modules[i].cmdline);
    }
}

static void check_pages(void)
{
    size_t before = pages_available();
    u64 *a = page_alloc(), *b = page_alloc();

    check("pages are counted", a && b && a != b && pages_available() == before - 2, "count");
    *a = 1;
    page_free(a);
    u64 *c = page_alloc();
    check("a freed page comes back zeroed", c == a && *c == 0, "contents");
    page_free(c);
    page_free(b);
    check("freed pages are counted", pages_available() == before, "count");
    check("too many pages are refused", !pages_alloc(before + 1) && pages_available() == before, "given");
}

static void check_string(void)
{
    u8 *page = page_alloc(), *copy = page_alloc();
    bool good = page && copy;

    for (unsigned n = 0; good && n < 40; n++) {
        for (unsigned shift = 0; good && shift < 20; shift++) {
            for (unsigned i = 0; i < 64; i++)
                page[i] = copy[i] = (u8)(i + 1);
            memmove(page + shift, page, n);
            for (unsigned i = 0; i < 64; i++)
                good = good && page[i] == (i >= shift && i < shift + n ? copy[i - shift] : copy[i]);
        }
    }
    check("memory moves over itself", good, "wrong bytes");
    page_free(page);
    page_free(copy);
}

static void check_cpu(void)
{
    volatile u32 *apic = mmio_map(0xfee00000, PAGE_SIZE);
    u64 value = 0, start = clock_us();
    u32 nmis = this_cpu()->nmi_count;

    check("an absent MSR is survived", !rdmsr_safe(MSR_NONE, &value) && !wrmsr_safe(MSR_NONE, 0), "no fault");
    check("a present MSR is read", rdmsr_safe(0xc0000080, &value) && value & BIT(11), "EFER");
    check("time passes", clock_tsc_per_us() && clock_us() <= start + 1000000, "clock");
    if (!apic) {
        check("an NMI is counted", false, "no APIC");
        return;
    }
    apic[0x300 / 4] = 0x44400; /* NMI to self */
    for (unsigned i = 0; i < 1000000 && this_cpu()->nmi_count == nmis; i++)
        cpu_pause();
    check("an NMI is counted", this_cpu()->nmi_count == nmis + 1, "count");
}

static void check_firmware(const struct boot_info *info)
{
    check("ACPI is found", !acpi_init(info->rsdp) && acpi_find("FACP") && acpi_find("DSDT"), "tables");
    clock_init();
    pci_init();
    check("the host bridge is there", pci_read(0, 0, 0, 4) == 0x29c08086, "ID");
    check("absent functions read ones", pci_read(0, 0xfff8, 0, 4) == ~0u, "ID");
}

/* --- ways to die --- */

int die_deeply(int n);

int __attribute__((noinline)) die_deeply(int n)
{
    volatile u8 room[200];

    room[n % 200] = (u8)n;
    return n < (1 << 30) ? die_deeply(n + 1) + room[n % 200] : 0;
}

void die_by_page_fault(volatile u8 *where);

void __attribute__((noinline)) die_by_page_fault(volatile u8 *where)
{
    *where = 1;
}

static void die(const char *how)
{
    u8 *pages = pages_alloc(3);

    if (!strcmp(how, "unmapped"))
        die_by_page_fault((u8 *)0x123456789000);
    else if (!strcmp(how, "null"))
        die_by_page_fault(NULL);
    else if (!strcmp(how, "text"))
        die_by_page_fault((u8 *)image_text);
    else if (!strcmp(how, "rodata"))
        die_by_page_fault((u8 *)image_rodata);
    else if (!strcmp(how, "guard") && pages && paging_guard(pages + PAGE_SIZE))
        die_by_page_fault(pages + PAGE_SIZE);
    else if (!strcmp(how, "execute"))
        ((void (*)(void))pages)();
    else if (!strcmp(how, "stack"))
        die_deeply(0);
    else if (!strcmp(how, "invalid"))
        __asm__ volatile("ud2");
    else if (!strcmp(how, "interrupt"))
        __asm__ volatile("int $0x80");
    else if (!strcmp(how, "machine-check"))
        __asm__ volatile("int $18");
    else if (!strcmp(how, "panic"))
        panic("asked for %s", how);
    else if (!strcmp(how, "refuse"))
        refuse("asked for %s", how);
}

bool hv_shut_out(const struct boot_info *info)
{
    (void)info;
    return false;
}

void hv_main(const struct boot_info *info)
{
    u64 base = mem_choose_region(info, REGION);

    for (unsigned i = 0; i < info->nr_ranges; i++)
        log_info("range %016lx-%016lx %d", info->ranges[i].base,
                 info->ranges[i].base + info->ranges[i].size - 1, info->ranges[i].type);
    log_info("loaded at %lx by %s", info->image_base, info->loader);
    if (!base)
        refuse("no place for the region");
    paging_relocate(base, REGION, info);
    log_info("moved to %lx", region_base());

    check_space(info, true);
    check_firmware(info);
    check_memory(info);
    check_pages();
    check_string();
    check_cpu();
    check_space(info, false);
    if (!strncmp(info->cmdline, "die=", 4))
        die(info->cmdline + 4);
    log_info("selftest done");
    machine_reset();
}
