/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register window (11.4). Everything is done by dwords: a quadword access is its two halves, the lower
 * one first, which is harmless because every trigger bit sits in the half that comes second or alone.
 */
#include "tests/model/model_int.h"

enum {
    R_VER = 0x00,
    R_CAP = 0x08,
    R_ECAP = 0x10,
    R_GCMD = 0x18,
    R_GSTS = 0x1c,
    R_RTADDR = 0x20,
    R_CCMD = 0x28,
    R_FSTS = 0x34,
    R_FECTL = 0x38,
    R_PMEN = 0x64,
    R_PLMBASE = 0x68,
    R_PLMLIMIT = 0x6c,
    R_PHMBASE = 0x70,
    R_PHMLIMIT = 0x78,
    R_IQH = 0x80,
    R_IQT = 0x88,
    R_IQA = 0x90,
    R_ICS = 0x9c,
    R_IECTL = 0xa0,
    R_IQERCD = 0xb0,
    R_IRTA = 0xb8,
    R_PQH = 0xc0,
    R_PQT = 0xc8,
    R_PQA = 0xd0,
    R_PRS = 0xdc,
    R_PECTL = 0xe0,
};

#define CTL_IM (1u << 31)
#define CTL_IP (1u << 30)

static u32 half(u64 value, u32 off)
{
    return off & 4 ? value >> 32 : value;
}

static void set_half(u64 *reg, u32 off, u32 value)
{
    if (off & 4)
        *reg = (*reg & 0xffffffff) | (u64)value << 32;
    else
        *reg = (*reg & ~0xffffffffull) | value;
}

static bool in_frcd(const struct model *m, u32 off, unsigned *index)
{
    *index = (off - CAP_FRO(m)) / 16;
    return off >= CAP_FRO(m) && *index < CAP_NFR(m) && *index < FRCDS;
}

static u32 event_read(const struct mdl_event *ev, u32 off)
{
    switch (off) {
    case 0:
        return ev->ctl;
    case 4:
        return ev->data;
    case 8:
        return ev->addr;
    default:
        return ev->uaddr;
    }
}

static u32 read32(struct model *m, u32 off)
{
    unsigned index;

    switch (off & ~7u) {
    case R_CAP:
        return half(m->cfg.cap, off);
    case R_ECAP:
        return half(m->cfg.ecap, off);
    case R_RTADDR:
        return half(m->rtaddr, off);
    case R_CCMD:
        return half(m->ccmd, off);
    case R_PHMBASE:
        return half(m->phmbase, off);
    case R_PHMLIMIT:
        return half(m->phmlimit, off);
    case R_IQH:
        return half(m->iqh, off);
    case R_IQT:
        return half(m->iqt, off);
    case R_IQA:
        return half(m->iqa, off);
    case R_IQERCD:
        return half(m->iqercd, off);
    case R_IRTA:
        return half(m->irta, off);
    case R_PQH:
        return half(m->pqh, off);
    case R_PQT:
        return half(m->pqt, off);
    case R_PQA:
        return half(m->pqa, off);
    }
    if (off >= R_FECTL && off < R_FECTL + 16)
        return event_read(&m->ev[EVENT_FAULT], off - R_FECTL);
    if (off >= R_IECTL && off < R_IECTL + 16)
        return event_read(&m->ev[EVENT_INV], off - R_IECTL);
    if (ECAP_PRS(m) && off >= R_PECTL && off < R_PECTL + 16)
        return event_read(&m->ev[EVENT_PAGE], off - R_PECTL);
    if (in_frcd(m, off, &index))
        return half(m->frcd[index][(off >> 3) & 1], off);
    if (off >= ECAP_IRO(m) && off < ECAP_IRO(m) + 8)
        return 0; /* IVA is write-only */
    if (off >= ECAP_IRO(m) + 8 && off < ECAP_IRO(m) + 16)
        return half(m->iotlb, off);
    switch (off) {
    case R_VER:
        return m->cfg.version;
    case R_GSTS:
        return m->gsts;
    case R_FSTS:
        return m->fri_lies ? (m->fsts & ~0xff00u) | (u32)m->fri << 8 : m->fsts;
    case R_PMEN:
        if (m->pmen_delay && !--m->pmen_delay)
            m->pmen = (m->pmen & ~1u) | m->pmen >> 31;
        return m->pmen;
    case R_PLMBASE:
        return m->plmbase;
    case R_PLMLIMIT:
        return m->plmlimit;
    case R_ICS:
        return m->ics;
    case R_PRS:
        return m->prs;
    default:
        return 0;
    }
}

static void reserved(struct model *m, u64 value, u64 mask)
{
    if (value & mask)
        mdl_violation(m, MODEL_V_RESERVED, value);
}

static void event_write(struct model *m, unsigned which, u32 off, u32 value)
{
    struct mdl_event *ev = &m->ev[which];

    switch (off) {
    case 0:
        reserved(m, value, ~(CTL_IM | CTL_IP));
        ev->ctl = (ev->ctl & CTL_IP) | (value & CTL_IM);
        mdl_event_try(m, which);
        break;
    case 4:
        reserved(m, value, 0xffff0000);
        ev->data = value & 0xffff;
        break;
    case 8:
        reserved(m, value, 3);
        ev->addr = value & ~3u;
        break;
    default:
        ev->uaddr = value;
    }
}

static void write_iqa(struct model *m, u32 off, u32 value)
{
    /* 6.5.2: only while the queue is off. */
    if (GSTS(m, G_QIE))
        mdl_violation(m, MODEL_V_IQA_BUSY, value);
    if (!(off & 4))
        reserved(m, value, 0x7f8);
    set_half(&m->iqa, off, value);
    m->iqa &= ~0x7f8ull;
}

static void write_tail(struct model *m, u32 off, u32 value)
{
    if (off & 4) {
        reserved(m, value, ~0u);
        return;
    }
    reserved(m, value, ~0x7fff0u);
    m->iqt = value & 0x7fff0;
    mdl_queue_tail(m);
}

static void write_pmr(struct model *m, u32 off, u32 value)
{
    bool low = off == R_PLMBASE || off == R_PLMLIMIT;

    if (m->pmen & (1u << 31))
        mdl_violation(m, MODEL_V_PMR, off);
    if (low ? !CAP_PLMR(m) : !CAP_PHMR(m)) {
        mdl_violation(m, MODEL_V_READ_ONLY, off);
        return;
    }
    /* This unit protects in pieces of 2 MiB; software finds out by writing ones. */
    if (off == R_PLMBASE)
        m->plmbase = value & 0xffe00000;
    else if (off == R_PLMLIMIT)
        m->plmlimit = value & 0xffe00000;
    else
        set_half((off & ~7u) == R_PHMBASE ? &m->phmbase : &m->phmlimit, off,
                 off & 4 ? value : value & 0xffe00000);
}

static void write_ccmd(struct model *m, u32 off, u32 value)
{
    if (m->ccmd & B(63)) {
        mdl_violation(m, MODEL_V_REG_INV_BUSY, value);
        return;
    }
    /* CAIG is the unit's. */
    if (off & 4)
        value = (value & ~(3u << 27)) | (u32)(m->ccmd >> 32 & 3u << 27);
    set_half(&m->ccmd, off, value);
    if (off & 4)
        mdl_ccmd(m);
}

static void write_iotlb(struct model *m, u32 off, u32 value)
{
    if (m->iotlb & B(63)) {
        mdl_violation(m, MODEL_V_REG_INV_BUSY, value);
        return;
    }
    if (off & 4)
        value = (value & ~(3u << 25)) | (u32)(m->iotlb >> 32 & 3u << 25);
    set_half(&m->iotlb, off, value);
    if (off & 4)
        mdl_iotlb_reg(m);
}

/* The page-request registers; false: not one of them. */
static bool write_page_queue(struct model *m, u32 off, u32 value)
{
    switch (off & ~7u) {
    case R_PQH:
        set_half(&m->pqh, off, value);
        m->pqh &= 0x7ffe0;
        return true;
    case R_PQT:
        set_half(&m->pqt, off, value);
        m->pqt &= 0x7ffe0;
        return true;
    case R_PQA:
        set_half(&m->pqa, off, value);
        return true;
    }
    if (off == R_PRS) {
        mdl_prs_write(m, value);
        return true;
    }
    if (off < R_PECTL)
        return false;
    event_write(m, EVENT_PAGE, off - R_PECTL, value);
    return true;
}

static void write32(struct model *m, u32 off, u32 value)
{
    unsigned index;

    switch (off & ~7u) {
    case R_RTADDR:
        if (!(off & 4))
            reserved(m, value, 0x37f);
        set_half(&m->rtaddr, off, value);
        return;
    case R_CCMD:
        write_ccmd(m, off, value);
        return;
    case R_PHMBASE:
    case R_PHMLIMIT:
        write_pmr(m, off, value);
        return;
    case R_IQT:
        write_tail(m, off, value);
        return;
    case R_IQA:
        write_iqa(m, off, value);
        return;
    case R_IRTA:
        if (GSTS(m, G_IRE) && !(off & 4) && value != (u32)m->irta && !CAP_ESIRTPS(m))
            mdl_violation(m, MODEL_V_IRTA, value);
        set_half(&m->irta, off, value);
        return;
    }
    if (off >= R_FECTL && off < R_FECTL + 16) {
        event_write(m, EVENT_FAULT, off - R_FECTL, value);
        return;
    }
    if (off >= R_IECTL && off < R_IECTL + 16) {
        event_write(m, EVENT_INV, off - R_IECTL, value);
        return;
    }
    if (ECAP_PRS(m) && off >= R_PQH && off < R_PECTL + 16 && write_page_queue(m, off, value))
        return;
    if (in_frcd(m, off, &index)) {
        if ((off & 15) == 12 && (value & (1u << 31)))
            mdl_frcd_clear(m, index);
        return;
    }
    if (off >= ECAP_IRO(m) && off < ECAP_IRO(m) + 8) {
        set_half(&m->iva, off, value);
        return;
    }
    if (off >= ECAP_IRO(m) + 8 && off < ECAP_IRO(m) + 16) {
        write_iotlb(m, off, value);
        return;
    }
    switch (off) {
    case R_GCMD:
        mdl_gcmd(m, value);
        return;
    case R_FSTS:
        mdl_fsts_write(m, value);
        return;
    case R_PMEN:
        if (!CAP_PLMR(m) && !CAP_PHMR(m))
            break;
        /* 11.4.15: PRS says when it is in force. */
        m->pmen = (value & (1u << 31)) | (m->pmen & 1);
        m->pmen_delay = mdl_delay(m);
        if (!m->pmen_delay)
            m->pmen = (m->pmen & ~1u) | value >> 31;
        return;
    case R_PLMBASE:
    case R_PLMLIMIT:
        write_pmr(m, off, value);
        return;
    case R_ICS:
        if (value & 1) {
            m->ics = 0;
            m->ev[EVENT_INV].ctl &= ~CTL_IP;
        }
        return;
    }
    mdl_violation(m, MODEL_V_READ_ONLY, off);
}

/* May these eight bytes be accessed at once? Only where one 64-bit register lives. */
static bool is_quad(const struct model *m, u32 off)
{
    unsigned index;

    switch (off) {
    case R_CAP:
    case R_ECAP:
    case R_RTADDR:
    case R_CCMD:
    case R_PHMBASE:
    case R_PHMLIMIT:
    case R_IQH:
    case R_IQT:
    case R_IQA:
    case R_IQERCD:
    case R_IRTA:
    case R_PQH:
    case R_PQT:
    case R_PQA:
        return true;
    default:
        return in_frcd(m, off, &index) || off == ECAP_IRO(m) || off == ECAP_IRO(m) + 8;
    }
}

static bool good_access(struct model *m, u32 off, unsigned width)
{
    bool good = (width == 4 || (width == 8 && is_quad(m, off))) && !(off & (width - 1));

    if (!good)
        mdl_violation(m, MODEL_V_WIDTH, off);
    return !(off & (width - 1)) && (width == 4 || width == 8);
}

uint64_t model_reg_read(struct model *m, uint32_t off, unsigned width)
{
    if (m->cfg.step_on_read)
        model_step(m);
    if (!good_access(m, off, width))
        return (u64)read32(m, off & ~3u) >> (8 * (off & 3));
    if (width == 8)
        return read32(m, off) | (u64)read32(m, off + 4) << 32;
    return read32(m, off);
}

void model_reg_write(struct model *m, uint32_t off, unsigned width, uint64_t value)
{
    mdl_trace(m, MODEL_EV_REG_WRITE, off, value, width, NULL);
    if (!good_access(m, off, width) || m->dead)
        return;
    write32(m, off, value);
    if (width == 8)
        write32(m, off + 4, value >> 32);
}
