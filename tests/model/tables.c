/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands above the page tables: root and context entries of both modes, PASID directory and PASID
 * table (9.1 to 9.6).
 */
#include "tests/model/model_int.h"

#define ADDR 0x000ffffffffff000ull

static bool scalable(const struct model *m)
{
    return TTM(m) == TTM_SCALABLE;
}

/* The half of a scalable root entry that covers this function, or the legacy entry. */
static u64 root_word(const struct model *m, const u64 root[2], u16 sid)
{
    return scalable(m) && (sid & 0x80) ? root[1] : root[0];
}

u8 mdl_root_check(struct model *m, const u64 root[2], u16 sid)
{
    u64 word = root_word(m, root, sid), rsvd = (~ADDR | m->beyond_host) & ~1ull;

    if (scalable(m)) {
        if (!(word & 1))
            return FR_S_ROOT_NP;
        return word & rsvd ? FR_S_ROOT_RSVD : 0;
    }
    if (!(word & 1))
        return FR_ROOT_NP;
    return (word & rsvd) || root[1] ? FR_ROOT_RSVD : 0;
}

bool mdl_ctx_read(struct model *m, enum mdl_view view, const u64 root[2], u16 sid, u64 ctx[2])
{
    u64 table = root_word(m, root, sid) & ADDR, rest[2];

    if (!scalable(m))
        return mdl_read128(m, view, table + (sid & 255) * 16, ctx);
    if (!mdl_read128(m, view, table + (sid & 127) * 32, ctx) ||
        !mdl_read128(m, view, table + (sid & 127) * 32 + 16, rest))
        return false;
    /* The second half is reserved throughout; one reserved bit of the first stands for all of it. */
    if (rest[0] | rest[1])
        ctx[1] |= B(63);
    return true;
}

static void decode_legacy(struct model *m, const u64 ctx[2], struct mdl_ctx *c)
{
    unsigned aw = mdl_bits(ctx[1], 2, 0);

    c->tt = mdl_bits(ctx[0], 3, 2);
    c->did = mdl_bits(ctx[1], 23, 8) & m->did_mask;
    c->table = ctx[0] & ADDR;
    c->levels = aw + 2;
    if (!(ctx[0] & 1))
        c->reason = FR_CTX_NP;
    else if ((ctx[0] & (~ADDR | m->beyond_host) & ~0xfull) || (ctx[1] & 0xffffffffff000080ull))
        c->reason = FR_CTX_RSVD;
    else if (c->tt == 3 || (c->tt == 1 && !ECAP_DT(m)) || (c->tt == 2 && !ECAP_PT(m)))
        c->reason = FR_CTX_INVALID;
    else if (aw < 1 || aw > 3 || !((CAP_SAGAW(m) >> aw) & 1))
        c->reason = FR_CTX_INVALID;
    c->ats = !c->reason && c->tt == 1;
}

/* 9.4 */
static void decode_scalable(struct model *m, const u64 ctx[2], struct mdl_ctx *c)
{
    /* 8:7, and HPTE and EPTR, which this model does not offer. */
    u64 rsvd0 = 0x1e0 | m->beyond_host | ~(ADDR | 0xfff), rsvd1 = ~0x1fffffull;

    c->dir = ctx[0] & ADDR;
    c->pdts = mdl_bits(ctx[0], 11, 9);
    c->paside = mdl_bits(ctx[0], 3, 3);
    c->pre = mdl_bits(ctx[0], 4, 4);
    c->rid_pasid = mdl_bits(ctx[1], 19, 0);
    if (!ECAP_DT(m))
        rsvd0 |= B(2);
    if (!ECAP_PASID(m))
        rsvd0 |= B(3);
    if (!ECAP_PRS(m))
        rsvd0 |= B(4);
    if (!ECAP_RPS(m))
        rsvd1 |= 0xfffff;
    if (!ECAP_RPRIVS(m))
        rsvd1 |= B(20);
    if (!(ctx[0] & 1))
        c->reason = FR_S_CTX_NP;
    else if ((ctx[0] & rsvd0) || (ctx[1] & rsvd1))
        c->reason = FR_S_CTX_RSVD;
    c->ats = !c->reason && mdl_bits(ctx[0], 2, 2);
}

void mdl_ctx_decode(struct model *m, const u64 ctx[2], struct mdl_ctx *c)
{
    *c = (struct mdl_ctx){ .fpd = mdl_bits(ctx[0], 1, 1) };
    if (scalable(m))
        decode_scalable(m, ctx, c);
    else
        decode_legacy(m, ctx, c);
}

void mdl_setup_legacy(const struct mdl_ctx *c, struct mdl_setup *s)
{
    *s = (struct mdl_setup){ .reason = c->reason, .fpd = c->fpd, .ats = c->ats };
    if (c->reason)
        return;
    s->did = c->did;
    s->ss = c->tt != 2;
    s->ss_levels = c->levels;
    s->ss_table = c->table;
}

/* ---- PASID tables (9.5, 9.6) -------------------------------------------------------------------- */

u8 mdl_pasid_number(struct model *m, const struct mdl_ctx *c, const struct mdl_who *who, u32 *pasid)
{
    u64 limit = B(c->pdts + 7) * 64;

    *pasid = who->pasid;
    if (who->pasid == NO_PASID) {
        *pasid = c->rid_pasid;
        return *pasid >= limit ? FR_S_RID_PASID : 0;
    }
    if (!c->paside)
        return FR_S_PASIDE;
    return *pasid >= limit || *pasid >> ECAP_PSS(m) ? FR_S_PASID_LARGE : 0;
}

u8 mdl_dir_check(struct model *m, u64 dir)
{
    if (!(dir & 1))
        return FR_S_DIR_NP;
    return dir & (0xffc | m->beyond_host | ~(ADDR | 0xfff)) ? FR_S_DIR_RSVD : 0;
}

/*
 * Bit 133 was "no-execute enable" in older revisions; drivers set it on every unit, so it is let pass.
 *
 * A PASID entry is 64 bytes, of which a hundred bits or so matter. They are kept in two words, which leave
 * the addresses where they are and use the bits around them:
 *   [0] 8:0 as in the entry (P FPD AW PGTT), 9 PGSNP, 51:12 SSPTPTR, 63:56 the fault reason
 *   [1] 7:0 as in the third quadword (SRE FSPM WPE EAFE), 51:12 FSPTPTR
 */
static u8 pasid_fault(struct model *m, const u64 e[8])
{
    unsigned aw = mdl_bits(e[0], 4, 2), pgtt = mdl_bits(e[0], 8, 6), fspm = mdl_bits(e[2], 3, 2);
    bool ss = pgtt == 2 || pgtt == 3, fs = pgtt == 1 || pgtt == 3;

    if (!(e[0] & 1))
        return FR_S_PASID_NP;
    /* SSADE (bit 9 of the first quadword) is not offered here. */
    if ((e[0] & (0xe20 | m->beyond_host | ~(ADDR | 0xfff))) || (e[1] & 0x00000000c07f0000ull) ||
        (e[2] & (0xf42 | m->beyond_host | ~(ADDR | 0xfff))) || e[3] || e[4] || e[5] || e[6] || e[7])
        return FR_S_PASID_RSVD;
    if (((e[2] & 1) && !ECAP_SRS(m)) || ((e[2] & B(7)) && !ECAP_EAFS(m)))
        return FR_S_PASID_RSVD;
    if (!(pgtt == 1 && ECAP_FSTS(m)) && !(pgtt == 2 && ECAP_SSTS(m)) && !(pgtt == 3 && ECAP_NEST(m)) &&
        !(pgtt == 4 && ECAP_PT(m)))
        return FR_S_PASID_INVALID;
    if (ss && (aw < 1 || aw > 3 || !((CAP_SAGAW(m) >> aw) & 1)))
        return FR_S_PASID_INVALID;
    if (fs && (fspm > 1 || (fspm == 1 && !CAP_FS5LP(m))))
        return FR_S_PASID_INVALID;
    return 0;
}

bool mdl_pasid_read(struct model *m, enum mdl_view view, u64 dir, u32 pasid, u64 packed[2], u16 *did)
{
    u64 at = (dir & ADDR) + (pasid & 63) * 64ull, e[8];

    for (unsigned i = 0; i < 8; i += 2)
        if (!mdl_read128(m, view, at + i * 8, &e[i]))
            return false;
    packed[0] = (e[0] & (ADDR | 0x1ff)) | mdl_bits(e[1], 24, 24) << 9 | (u64)pasid_fault(m, e) << 56;
    packed[1] = (e[2] & (ADDR | 0xff));
    *did = e[1] & m->did_mask;
    return true;
}

void mdl_setup_scalable(struct model *m, const struct mdl_ctx *c, const struct mdl_who *who, u32 pasid,
                        const u64 packed[2], u16 did, struct mdl_setup *s)
{
    unsigned pgtt = mdl_bits(packed[0], 8, 6);

    (void)m;
    *s = (struct mdl_setup){ .reason = packed[0] >> 56, .ats = c->ats, .scalable = true };
    s->fpd = c->fpd || mdl_bits(packed[0], 1, 1);
    if (s->reason)
        return;
    s->did = did;
    s->fs = pgtt == 1 || pgtt == 3;
    s->ss = pgtt == 2 || pgtt == 3;
    s->ss_levels = mdl_bits(packed[0], 4, 2) + 2;
    s->ss_table = packed[0] & ADDR;
    s->fs_levels = mdl_bits(packed[1], 3, 2) + 4;
    s->fs_table = packed[1] & ADDR;
    s->sre = packed[1] & 1;
    s->wpe = mdl_bits(packed[1], 4, 4);
    s->eafe = mdl_bits(packed[1], 7, 7);
    s->tag = s->fs ? TAG(KIND_FS, pasid) : s->ss ? TAG(KIND_SS, 0) : TAG(KIND_PT, pasid);
    /* 7.1.3: a privileged request where SRE is clear. */
    if (who->priv && !s->sre)
        s->reason = FR_S_SRE;
    s->supervisor = who->priv && s->sre;
}

void mdl_tables_init(struct model *m)
{
    m->did_mask = (u16)(B(4 + 2 * CAP_ND(m)) - 1);
    m->beyond_host = ADDR & ~(B(m->cfg.haw) - 1);
}
