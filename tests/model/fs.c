/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First-stage entries (3.6, 9.7), and how the two stages meet (3.8).
 */
#include "tests/model/model_int.h"

#define ADDR 0x000ffffffffff000ull

enum { FS_P = 0, FS_RW = 1, FS_US = 2, FS_A = 5, FS_D = 6, FS_PS = 7 };

static u64 reserved_bits(const struct model *m, unsigned level, bool leaf)
{
    u64 rsvd = m->beyond_host;

    if (level >= 4 || (level == 3 && !CAP_FS1GP(m)))
        rsvd |= B(FS_PS);
    /* Bit 12 of a large page is a memory-type bit. */
    if (leaf && level == 2)
        rsvd |= 0x1fe000;
    if (leaf && level == 3)
        rsvd |= 0x3fffe000;
    return rsvd;
}

/* The accessed bit is set before the entry is used; hardware does so in one atomic access. */
static bool set_bits(struct model *m, u64 at, u64 *e, u64 bits)
{
    if ((*e & bits) == bits)
        return true;
    *e |= bits;
    return mdl_mem_write(m, at, e, 8);
}

enum mdl_step mdl_fs_step(struct model *m, enum mdl_view view, const struct mdl_setup *s, u64 table,
                          unsigned level, u64 iova, bool top, bool accessed, u8 *perm, u64 *next,
                          struct mdl_xl *x)
{
    unsigned shift = 12 + 9 * (level - 1);
    u64 at = table + ((iova >> shift) & 511) * 8, e;
    bool leaf;

    *x = (struct mdl_xl){ .nonleaf = level > 1 };
    if (!mdl_read64(m, view, at, &e)) {
        x->reason = top ? FR_FS_TOP_ACCESS : FR_FS_ACCESS;
        return STEP_DONE;
    }
    if (!(e & B(FS_P))) {
        x->np = true;
        x->why = FR_FS_NP;
        return STEP_DONE;
    }
    leaf = level == 1 || (level <= 3 && (e & B(FS_PS)));
    if (e & reserved_bits(m, level, leaf)) {
        x->reason = FR_FS_RSVD;
        return STEP_DONE;
    }
    if (accessed && !set_bits(m, at, &e, B(FS_A))) {
        x->reason = FR_FS_AD;
        return STEP_DONE;
    }
    if (!(e & B(FS_RW)))
        *perm &= (u8)~PERM_W;
    if (!(e & B(FS_US)))
        *perm &= (u8)~PERM_U;
    if (!leaf) {
        *next = e & ADDR;
        return STEP_DOWN;
    }
    x->nonleaf = false;
    x->perm = *perm;
    /* 3.6.1: WPE=0 lets a supervisor write to what is read-only. */
    if (s->supervisor && !s->wpe)
        x->perm |= PERM_W;
    if (s->supervisor)
        x->perm |= PERM_U;
    x->pa = (e & ADDR & ~(B(shift) - 1)) | (iova & (B(shift) - 1) & ~0xfffull);
    return STEP_DONE;
}

u8 mdl_fs_table_fault(const struct mdl_xl *r, bool top)
{
    if (r->reason == FR_S_SS_WIDTH)
        return FR_FS_BEYOND_SS;
    if (r->reason)
        return r->reason;
    if (r->np)
        return r->why;
    if (!(r->perm & PERM_R))
        return top ? FR_FS_TOP_NO_READ : FR_FS_NO_READ;
    return 0;
}

void mdl_nest(struct mdl_xl *x, const struct mdl_xl *r)
{
    u8 perm = x->perm & r->perm;

    if (r->reason || r->np) {
        *x = *r;
        /* Second-stage faults of a nested walk are never taken for an absent leaf of the first. */
        x->nonleaf = true;
        return;
    }
    x->pa = r->pa;
    x->perm = perm;
}

/* The fresh leaf once more, this time for its dirty bit. */
void mdl_fs_dirty(struct model *m, const struct mdl_who *who, u64 iova)
{
    struct mdl_path p;
    struct mdl_xl x;
    u64 next, table;
    u8 perm = PERM_ALL;
    unsigned level;

    mdl_path(m, VIEW_UNIT, who, iova, false, &p);
    if (p.s.reason || !p.s.fs || p.x.reason || p.x.np)
        return;
    /* The lowest table that the walk entered. */
    for (level = 1; level < p.s.fs_levels && !(p.fs.seen & (1u << (level + 1))); level++)
        ;
    if (level == p.s.fs_levels)
        return;
    table = p.fs.next[level + 1] & ~0xfffull;
    if (mdl_fs_step(m, VIEW_UNIT, &p.s, table, level, iova, false, false, &perm, &next, &x) == STEP_DONE &&
        x.perm) {
        u64 at = table + ((iova >> (12 + 9 * (level - 1))) & 511) * 8, e;

        if (mdl_read64(m, VIEW_UNIT, at, &e))
            (void)set_bits(m, at, &e, B(FS_A) | B(FS_D));
    }
}
