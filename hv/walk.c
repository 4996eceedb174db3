/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/walk.h"
#include "arch/cpu.h"
#include "arch/nested.h"
#include "arch/paging.h"
#include "hv/exit.h"
#include "hv/mem.h"

#define RF_AC BIT(18)

#define PTE_KEY   MASK(62, 59)
#define PDPTE_RSV (MASK(63, 52) | MASK(8, 5) | MASK(2, 1)) /* of 32-bit PAE paging */

/* Reading memory of unknown kind takes a mapping that is never given back. */
#define MAX_FIRMWARE_PAGES 64

volatile void *guest_page(u64 gpa)
{
    static u64 known[MAX_FIRMWARE_PAGES];
    static unsigned nr_known;
    static struct spinlock lock;
    u64 page = align_down(gpa, PAGE_SIZE);
    void *va = NULL;

    if (mem_is_guest_ram(page, PAGE_SIZE))
        return phys_to_virt(page);
    if (nested_get(page) != NESTED_ALL)
        return NULL;
    spin_lock(&lock);
    for (unsigned i = 0; i < nr_known; i++)
        if (known[i] == page)
            va = phys_to_virt(page);
    if (!va && nr_known < MAX_FIRMWARE_PAGES) {
        va = direct_map(page, PAGE_SIZE);
        if (va)
            known[nr_known++] = page;
    }
    spin_unlock(&lock);
    return va;
}

static u64 address_mask(void)
{
    static u64 mask; /* the same on every CPU */

    if (!mask)
        mask = MASK(cpu_phys_bits() - 1, 0);
    return mask;
}

struct walker {
    struct vcpu *v;
    const struct vcpu_mode *mode;
    enum walk_access access;
    bool user;
    u64 rights; /* AND of W and U over all levels, OR of NX */
    struct walk *out;
};

static bool fail(struct walker *w, u32 code)
{
    bool nx = w->mode->efer & EFER_NXE, smep = w->mode->cr4 & CR4_SMEP;

    if (w->access == WALK_WRITE)
        code |= PF_WRITE;
    if (w->user)
        code |= PF_USER;
    if (w->access == WALK_FETCH && (nx || smep))
        code |= PF_FETCH;
    w->out->fault = code;
    return false;
}

/* One entry, read once. Nothing is there: ones, which have reserved bits set. */
static u64 read_entry(u64 gpa, unsigned width, volatile void **at)
{
    volatile u8 *page = guest_page(gpa);

    if (!page)
        return width == 8 ? ~0ull : MASK(31, 0);
    *at = page + (gpa & (PAGE_SIZE - 1));
    return width == 8 ? *(volatile u64 *)*at : *(volatile u32 *)*at;
}

/* False: the entry changed since it was read. */
static bool set_bits(volatile void *at, unsigned width, u64 old, u64 bits)
{
    u32 old32 = (u32)old;

    if ((old & bits) == bits)
        return true;
    if (width == 8)
        return __atomic_compare_exchange_n((volatile u64 *)at, &old, old | bits, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED);
    return __atomic_compare_exchange_n((volatile u32 *)at, &old32, old32 | (u32)bits, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED);
}

/* Checks on the whole, after the last level (AMD APM 2, 5.6). `leaf` holds the protection key. */
static bool check_rights(struct walker *w, u64 leaf)
{
    bool user_page = w->rights & PTE_U, writable = w->rights & PTE_W;
    u64 cr4 = w->mode->cr4;

    if (w->user && !user_page)
        return fail(w, PF_PRESENT);
    if (w->access == WALK_FETCH) {
        if ((w->rights & PTE_NX) || (!w->user && user_page && (cr4 & CR4_SMEP)))
            return fail(w, PF_PRESENT);
        return true;
    }
    if (!w->user && user_page && (cr4 & CR4_SMAP) && !(w->v->rflags & RF_AC))
        return fail(w, PF_PRESENT);
    if (w->access == WALK_WRITE && !writable && (w->user || (w->mode->cr0 & CR0_WP)))
        return fail(w, PF_PRESENT);
    if (user_page && (cr4 & CR4_PKE) && (w->mode->efer & EFER_LMA)) {
        u32 key = rdpkru() >> 2 * field_get(leaf, PTE_KEY);
        bool protects_write = (key & 2) && (w->user || (w->mode->cr0 & CR0_WP));
        if ((key & 1) || (w->access == WALK_WRITE && protects_write))
            return fail(w, PF_PRESENT | PF_KEY);
    }
    return true;
}

/* `levels` tables from `table` on, of entries of 8 bytes or, where there are two, of 4. 1 = done, 0 = fault,
 * -1 = changed meanwhile. */
static int walk_tables(struct walker *w, u64 table, unsigned levels, u64 linear)
{
    unsigned width = levels == 2 ? 4 : 8, bits = levels == 2 ? 10 : 9;
    bool small = levels == 2, pae32 = levels == 3;
    u64 beyond = PTE_ADDR & ~address_mask(), reserved = beyond;

    if (!(w->mode->efer & EFER_NXE))
        reserved |= PTE_NX;
    if (pae32)
        reserved |= MASK(62, 52);
    w->rights = PTE_W | PTE_U;
    for (unsigned level = levels;; level--) {
        unsigned shift = PAGE_SHIFT + bits * (level - 1);
        bool pdpte = pae32 && level == 3;
        volatile void *at = NULL;
        u64 entry = read_entry(table + (linear >> shift & MASK(bits - 1, 0)) * width, width, &at);
        /* Where there are no large pages the bit is reserved, or without PSE means nothing. */
        bool leaf = level == 1 || ((entry & PTE_PS) && (!small || (w->mode->cr4 & CR4_PSE)));

        w->out->step[levels - level].entry = at;
        w->out->step[levels - level].value = entry;
        if (!(entry & PTE_P))
            return fail(w, 0);
        u64 bad = pdpte ? PDPTE_RSV | beyond : reserved;
        if (level >= 4)
            bad |= PTE_PS;
        if (leaf && level > 1)
            bad |= small ? BIT(21) : MASK(shift - 1, 13);
        if (entry & bad)
            return fail(w, PF_PRESENT | PF_RESERVED);
        if (!pdpte)
            w->rights = (w->rights & entry & (PTE_W | PTE_U)) | ((w->rights | entry) & PTE_NX);
        if (leaf && !check_rights(w, entry))
            return 0;
        u64 used = !leaf ? PTE_A : PTE_A | (w->access == WALK_WRITE ? PTE_D : 0);
        if (!pdpte && w->access != WALK_FETCH && !set_bits(at, width, entry, used))
            return -1;
        table = entry & PTE_ADDR;
        if (!leaf)
            continue;
        w->out->levels = levels - level + 1;
        if (level == 2)
            table |= (entry & MASK(20, 13)) << (32 - 13); /* PSE-36; in entries of 8 bytes reserved */
        w->out->gpa = (table & ~MASK(shift - 1, 0)) | (linear & MASK(shift - 1, 0));
        return 1;
    }
}

#define MAX_ATTEMPTS 8 /* another CPU that keeps changing an entry gets a fault for it */

bool guest_walk(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, enum walk_access access,
                struct walk *w)
{
    struct walker walker = { .v = v, .mode = mode, .access = access, .user = mode->cpl == 3, .out = w };
    bool la57 = mode->cr4 & CR4_LA57;
    int done = -1;

    w->levels = 0;
    if (!(mode->cr0 & CR0_PG)) {
        w->gpa = linear & MASK(31, 0);
        return true;
    }
    for (unsigned i = 0; i < MAX_ATTEMPTS && done < 0; i++) {
        if (mode->efer & EFER_LMA)
            done = walk_tables(&walker, mode->cr3 & PTE_ADDR, la57 ? 5 : 4, linear);
        else if (mode->cr4 & CR4_PAE)
            done = walk_tables(&walker, mode->cr3 & MASK(31, 5), 3, linear & MASK(31, 0));
        else
            done = walk_tables(&walker, mode->cr3 & MASK(31, 12), 2, linear & MASK(31, 0));
    }
    if (done < 0)
        (void)fail(&walker, 0);
    return done > 0;
}

bool guest_reach(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, enum walk_access access,
                 struct walk *w)
{
    bool done = guest_walk(v, mode, linear, access, w);

    if (!done)
        vcpu_inject_page_fault(v, linear, w->fault);
    return done;
}
