/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual unit's registers (11.4). The array holds what the guest reads; writes go through a table of
 * writable bits dword by dword, low half first, so that a half-register write can bypass nothing.
 */
#include "iommu/parts.h"

/* Our own layout, whatever the host's is. */
#define V_IRO  0x0f0
#define V_FRCD 0x220
#define V_NFR  8

/*
 * Announced = known, implemented and tested, ANDed with the host's. Caching mode is added: second-stage
 * tables are shadowed, so the guest must tell us of every change, also from not-present. Only a guest that
 * uses first-stage tables alone can do without (cm=off).
 */
#define CAP_ALLOWED   (CAP_ND | CAP_ZLR | CAP_PSI | CAP_MAMV | CAP_DWD | CAP_DRD)
#define SAGAW_ALLOWED (BIT(1) | BIT(2) | BIT(3))
#define SSLPS_ALLOWED 3
#define CAP_FIRST     (CAP_FS1GP | CAP_FS5LP)
#define ECAP_ALLOWED  (ECAP_C | ECAP_QI | ECAP_DT | ECAP_PT | ECAP_SC)
#define ECAP_IR_ALL   (ECAP_IR | ECAP_EIM | ECAP_MHMV)
#define ECAP_SCALABLE (ECAP_SMTS | ECAP_SMPWC | ECAP_PASID | ECAP_RPS)

static u32 *reg(struct unit *u, u32 off)
{
    return &u->v.regs[off / 4];
}

static void set64(struct unit *u, u32 off, u64 value)
{
    *reg(u, off) = (u32)value;
    *reg(u, off + 4) = (u32)(value >> 32);
}

/* The widths and superpages of second-stage tables. In first-stage format addresses are canonical (3.6). */
static u64 second_stage_cap(const struct unit *u)
{
    u64 sagaw = field_get(u->cap, CAP_SAGAW) & SAGAW_ALLOWED, mgaw = field_get(u->cap, CAP_MGAW);

    if (u->own_pgtt == PGTT_FIRST) {
        sagaw = BIT(2);
        mgaw = MIN(mgaw, 46ull);
    }
    return field_prep(CAP_SAGAW, sagaw) | field_prep(CAP_MGAW, mgaw) |
           field_prep(CAP_SSLPS, u->sslps & SSLPS_ALLOWED);
}

/* The table types of scalable mode; none, and it is not announced at all. */
static u64 scalable_ecap(const struct unit *u)
{
    u64 types = u->first_pgtt ? ECAP_FSTS : 0, pss = field_get(u->ecap, ECAP_PSS);

    if (u->own_pgtt == PGTT_SECOND && !iommu_opts.no_caching_mode)
        types |= ECAP_SSTS;
    if (!u->scalable || !types)
        return 0;
    if (u->ecap & ECAP_PASID)
        types |= field_prep(ECAP_PSS, MIN(pss, PASID_BITS - 1ull));
    return (u->ecap & ECAP_SCALABLE) | types;
}

void vregs_init(struct unit *u)
{
    struct vunit *v = &u->v;
    u64 cap = (u->cap & CAP_ALLOWED) | second_stage_cap(u);
    u64 ecap =
        (u->ecap & (ECAP_ALLOWED | (u->irt ? ECAP_IR_ALL : 0) | (u->prq.ring ? ECAP_PRS | ECAP_PDS : 0))) |
        scalable_ecap(u);

    cap |= field_prep(CAP_FRO, V_FRCD / 16) | field_prep(CAP_NFR, V_NFR - 1) |
           (ecap & ECAP_FSTS ? u->cap & CAP_FIRST : 0);
    if (!iommu_opts.no_caching_mode)
        cap |= CAP_CM;
    if (u->own_pgtt == PGTT_FIRST) /* its leaves have no snoop bit */
        ecap &= ~ECAP_SC;
    if (iommu_opts.ats == ATS_OFF)
        ecap &= ~(ECAP_DT | ECAP_PRS | ECAP_PDS);
    ecap |= field_prep(ECAP_IRO, V_IRO / 16);
    if (iommu_opts.dtlb_hint &&
        !(u->ecap & BIT(iommu_opts.dtlb_hint))) /* there it would mean something else */
        ecap |= BIT(iommu_opts.dtlb_hint);
    v->cap = cap;
    v->ecap = ecap;
    v->rules = (struct desc_rules){
        .did_mask = (u16)(BIT(4 + 2 * field_get(cap, CAP_ND)) - 1),
        .mamv = (unsigned)field_get(cap, CAP_MAMV),
        .psi = cap & CAP_PSI,
        .dt = ecap & ECAP_DT,
        .ir = ecap & ECAP_IR,
        .prs = ecap & ECAP_PRS,
        .pds = ecap & ECAP_PDS,
    };
    *reg(u, REG_VER) = 0x10;
    set64(u, REG_CAP, cap);
    set64(u, REG_ECAP, ecap);
    *reg(u, REG_FECTL) = MSG_IM;
    *reg(u, REG_IECTL) = MSG_IM;
    if (v->rules.prs)
        *reg(u, REG_PECTL) = MSG_IM;
}

/* --- events --- */

static void raise(struct unit *u, u32 group)
{
    u64 address = *reg(u, group + MSG_ADDR) | (u64)*reg(u, group + MSG_UADDR) << 32;

    if (*reg(u, group) & MSG_IM) {
        *reg(u, group) |= MSG_IP;
        return;
    }
    *reg(u, group) &= ~(u32)MSG_IP;
    if (!env_send_interrupt(address, *reg(u, group + MSG_DATA)))
        env_log_limited(ENV_WARN,
                        "unit %u: guest's event message %llx:%x is not an ordinary interrupt: refused",
                        u->index, (unsigned long long)address, *reg(u, group + MSG_DATA));
}

#define FSTS_EVENTS (FSTS_PFO | FSTS_PPF | FSTS_IQE | FSTS_ICE | FSTS_ITE)

/* One event for any number of conditions until software has cleared them all (11.4.7.2). */
static void fault_status(struct unit *u, u32 bits)
{
    u32 before = *reg(u, REG_FSTS) & FSTS_EVENTS;

    *reg(u, REG_FSTS) |= bits;
    if (!before)
        raise(u, REG_FECTL);
}

void vregs_iqe(struct unit *u, enum iqei code)
{
    set64(u, REG_IQERCD, (vreg64(u, REG_IQERCD) & ~IQERCD_IQEI) | code);
    fault_status(u, FSTS_IQE);
}

/*
 * The guest learns which device did not answer, but its queue does not stop for it: what its descriptors
 * asked for is done, because the device holds and gets nothing any more, so there is nothing to abort and
 * submit again.
 */
void vregs_ite(struct unit *u, u16 sid)
{
    set64(u, REG_IQERCD, (vreg64(u, REG_IQERCD) & ~IQERCD_ITESID) | field_prep(IQERCD_ITESID, sid));
    fault_status(u, FSTS_ITE);
}

void vregs_completion(struct unit *u)
{
    if (*reg(u, REG_ICS) & ICS_IWC)
        return;
    *reg(u, REG_ICS) |= ICS_IWC;
    raise(u, REG_IECTL);
}

void vregs_fault(struct unit *u, u64 rec_lo, u64 rec_hi)
{
    u32 record = V_FRCD + 16u * u->v.next_fault;

    /* Nothing is recorded while an overflow stands (11.4.7.1). */
    if (vreg64(u, record + 8) & FRCD_F || *reg(u, REG_FSTS) & FSTS_PFO) {
        fault_status(u, FSTS_PFO);
        return;
    }
    set64(u, record, rec_lo);
    set64(u, record + 8, (rec_hi & FRCD_COPY) | FRCD_F);
    if (!(*reg(u, REG_FSTS) & FSTS_PPF)) /* the first that is pending */
        *reg(u, REG_FSTS) = (*reg(u, REG_FSTS) & ~(u32)FSTS_FRI) | (u32)field_prep(FSTS_FRI, u->v.next_fault);
    u->v.next_fault = (u->v.next_fault + 1) % V_NFR;
    fault_status(u, FSTS_PPF);
}

/* The high dword of a record, which has F in it. */
static bool is_fault_flag(u32 off)
{
    return off >= V_FRCD && off % 16 == 12; /* they are the last registers */
}

/* PPF is nothing but the F of all records together; an event that nothing is left of is not sent (11.4.7). */
static void faults_served(struct unit *u)
{
    u32 all = 0;

    for (unsigned i = 0; i < V_NFR; i++)
        all |= vreg32(u, V_FRCD + 16 * i + 12);
    if (!(all & (u32)(FRCD_F >> 32)))
        *reg(u, REG_FSTS) &= ~(u32)FSTS_PPF;
    if (!(*reg(u, REG_FSTS) & FSTS_EVENTS))
        *reg(u, REG_FECTL) &= ~(u32)MSG_IP;
}

static void page_status(struct unit *u, u32 bit)
{
    u32 before = *reg(u, REG_PRS);

    *reg(u, REG_PRS) |= bit;
    if (!before)
        raise(u, REG_PECTL);
}

void vregs_page_request(struct unit *u, u32 tail)
{
    *reg(u, REG_PQT) = tail;
    page_status(u, PRS_PPR);
}

void vregs_page_overflow(struct unit *u)
{
    page_status(u, PRS_PRO);
}

void vregs_finish(struct unit *u)
{
    *reg(u, REG_GSTS) ^= u->v.gsts_on_finish;
    u->v.gsts_on_finish = 0;
    if (u->v.ccmd_on_finish) {
        u64 ccmd = vreg64(u, REG_CCMD);

        set64(u, REG_CCMD,
              (ccmd & ~(CCMD_ICC | CCMD_CAIG)) |
                  (u->v.rules.scalable ? 0 : field_prep(CCMD_CAIG, field_get(ccmd, CCMD_CIRG))));
        u->v.ccmd_on_finish = false;
    }
    if (u->v.iotlb_on_finish) {
        set64(u, V_IRO + REG_IOTLB, vreg64(u, V_IRO + REG_IOTLB) & ~IOTLB_IVT);
        u->v.iotlb_on_finish = false;
    }
}

/* --- commands --- */

static void interrupt_command(struct unit *u, u32 gcmd)
{
    u32 changed = (gcmd ^ *reg(u, REG_GSTS)) & (GCMD_IRE | (iommu_opts.strict ? 0 : GCMD_CFI));

    if (gcmd & GCMD_SIRTP) {
        *reg(u, REG_GSTS) &= ~(u32)GCMD_SIRTP;
        u->v.irta = vreg64(u, REG_IRTA);
        if (!(u->v.ecap & ECAP_EIM))
            u->v.irta &= ~IRTA_EIME;
        u->v.gsts_on_finish |= GCMD_SIRTP;
    }
    *reg(u, REG_GSTS) ^= changed & GCMD_CFI;
    u->v.gsts_on_finish |= changed & GCMD_IRE;
    if (changed & GCMD_IRE) /* not a toggle: where the unit is lost, GSTS does not show the last change yet */
        u->v.ir_enabled = gcmd & GCMD_IRE;
    if (!changed && !(gcmd & GCMD_SIRTP))
        return;
    if (ir_apply(u))
        env_log(ENV_ERR, "unit %u: interrupt remapping table not accepted", u->index);
    if (changed & GCMD_IRE)
        env_log(ENV_INFO, "unit %u: interrupts %s", u->index,
                u->v.ir_enabled     ? "contained: the guest uses interrupt remapping"
                : iommu_opts.strict ? "contained: translated, as the guest stopped remapping"
                                    : "not contained any more");
    replay_submit(u); /* the batch is done, but what is to show after it may not be, if it was refused */
}

static void command(struct unit *u, u32 gcmd)
{
    u32 changed;

    /* The specification allows one change per write; several are done one after the other. */
    replay_settle(u);
    changed = (gcmd ^ *reg(u, REG_GSTS)) & (GCMD_TE | GCMD_QIE);
    if (u->irt)
        interrupt_command(u, gcmd);
    if (gcmd & GCMD_SRTP) {
        u64 rtaddr = vreg64(u, REG_RTADDR);

        *reg(u, REG_GSTS) &= ~(u32)GCMD_SRTP;
        u->v.root = rtaddr & RTADDR_RTA;
        u->v.ttm = (u8)field_get(rtaddr, RTADDR_TTM);
        u->v.rules.scalable = u->v.ttm != TTM_LEGACY;
        if (u->v.enabled)
            plan_everything(u);
        u->v.gsts_on_finish |= GCMD_SRTP;
        replay_submit(u);
        replay_settle(u);
    }
    if (changed & GCMD_QIE) {
        *reg(u, REG_GSTS) ^= GCMD_QIE;
        set64(u, REG_IQH, 0);
    }
    if (changed & GCMD_TE) {
        u->v.enabled = gcmd & GCMD_TE;
        u->v.gsts_on_finish |= GCMD_TE; /* off, too, is true only when no cache holds the old tables */
        context_enable(u, u->v.enabled);
        replay_submit(u);
    }
    /* IQA cannot change while the queue is on, and the table mode only here. */
    u->v.plain_queue = *reg(u, REG_GSTS) & GCMD_QIE && !(*reg(u, REG_IQA) & IQA_DW) && !u->v.rules.scalable;
    replay_run(u); /* QIE may have been set with work waiting */
}

/* Register-based invalidation takes the way of the queue's descriptors, device-TLB flushes included. */
static void context_command(struct unit *u)
{
    u64 ccmd = vreg64(u, REG_CCMD);
    struct request r = {
        .type = DESC_CONTEXT,
        .granularity = (u8)field_get(ccmd, CCMD_CIRG),
        .did = (u16)field_get(ccmd, CCMD_DID),
        .sid = (u16)field_get(ccmd, CCMD_SID),
        .fm = desc_fm_bits(field_get(ccmd, CCMD_FM)),
    };

    replay_settle(u);
    set64(u, REG_CCMD, ccmd); /* a former command that ended just now has cleared this one's ICC */
    /* 0 is reserved, and the register is legacy mode's: nothing is invalidated, and CAIG says so. */
    if (r.granularity && !u->v.rules.scalable)
        plan_request(u, &r);
    u->v.ccmd_on_finish = true;
    replay_submit(u);
    replay_run(u); /* the queue may have waited for the same */
}

static void iotlb_command(struct unit *u)
{
    u64 iotlb = vreg64(u, V_IRO + REG_IOTLB), iva = vreg64(u, V_IRO + REG_IVA);
    unsigned am = (unsigned)field_get(iva, IVA_AM);
    u64 page;
    u8 done;
    struct request r = {
        .type = DESC_IOTLB,
        .granularity = (u8)field_get(iotlb, IOTLB_IIRG),
        .did = (u16)(field_get(iotlb, IOTLB_DID) & u->v.rules.did_mask),
    };

    replay_settle(u);
    done = r.granularity;
    if (r.granularity == DESC_G_PAGE && (!u->v.rules.psi || am > u->v.rules.mamv)) {
        /* Without page-selective flushes hardware flushes the domain and says so; a mask that it does not
         * offer it ignores and says that (11.4.8.1). Flushed is never wrong. */
        r.granularity = DESC_G_DOMAIN;
        done = u->v.rules.psi ? 0 : DESC_G_DOMAIN;
    }
    if (r.granularity == DESC_G_PAGE) {
        page = align_down(field_get(iva, IVA_ADDR), BIT(am));
        r.range = (struct range){ page, page + BIT(am) - 1 };
    }
    if (r.granularity)
        plan_request(u, &r);
    set64(u, V_IRO + REG_IOTLB, (iotlb & ~IOTLB_IAIG) | field_prep(IOTLB_IAIG, done));
    u->v.iotlb_on_finish = true;
    replay_submit(u);
    replay_run(u);
}

/* --- accesses --- */

/* Bits the guest can set, and bits it clears by writing 1. What is not listed is read-only. */
static const struct {
    u32 rw, w1c;
} writable[VREGS_SIZE / 4] = {
    [REG_RTADDR / 4] = { .rw = 0xfffffc00 },
    [REG_RTADDR / 4 + 1] = { .rw = ~0u },
    [REG_CCMD / 4] = { .rw = ~0u },
    [REG_CCMD / 4 + 1] = { .rw = ~0u & ~(u32)(CCMD_CAIG >> 32) },
    [REG_FSTS / 4] = { .w1c = FSTS_PFO | FSTS_IQE | FSTS_ICE | FSTS_ITE },
    [REG_FECTL / 4] = { .rw = MSG_IM },
    [(REG_FECTL + MSG_DATA) / 4] = { .rw = 0xffff },
    [(REG_FECTL + MSG_ADDR) / 4] = { .rw = 0xfffffffc },
    [(REG_FECTL + MSG_UADDR) / 4] = { .rw = ~0u },
    [REG_IQT / 4] = { .rw = (u32)IQT_QT },
    [REG_IQA / 4] = { .rw = (u32)((IQA_IQA & 0xffffffff) | IQA_DW | IQA_QS) },
    [REG_IQA / 4 + 1] = { .rw = ~0u },
    [REG_ICS / 4] = { .w1c = ICS_IWC },
    [REG_IECTL / 4] = { .rw = MSG_IM },
    [(REG_IECTL + MSG_DATA) / 4] = { .rw = 0xffff },
    [(REG_IECTL + MSG_ADDR) / 4] = { .rw = 0xfffffffc },
    [(REG_IECTL + MSG_UADDR) / 4] = { .rw = ~0u },
    [REG_IRTA / 4] = { .rw = (u32)(IRTA_IRTA | IRTA_EIME | IRTA_S) },
    [REG_IRTA / 4 + 1] = { .rw = ~0u },
    [(V_IRO + REG_IVA) / 4] = { .rw = 0xfffff07f },
    [(V_IRO + REG_IVA) / 4 + 1] = { .rw = ~0u },
    [(V_IRO + REG_IOTLB) / 4 + 1] = { .rw = ~0u },
    [REG_PQH / 4] = { .rw = (u32)PQ_OFFSET },
    [REG_PQT / 4] = { .rw = (u32)PQ_OFFSET },
    [REG_PQA / 4] = { .rw = (u32)(PQA_PQA | PQA_PQS) },
    [REG_PQA / 4 + 1] = { .rw = ~0u },
    [REG_PRS / 4] = { .w1c = PRS_PPR | PRS_PRO },
    [REG_PECTL / 4] = { .rw = MSG_IM },
    [(REG_PECTL + MSG_DATA) / 4] = { .rw = 0xffff },
    [(REG_PECTL + MSG_ADDR) / 4] = { .rw = 0xfffffffc },
    [(REG_PECTL + MSG_UADDR) / 4] = { .rw = ~0u },
};

static void written(struct unit *u, u32 off, u32 old)
{
    u32 now = *reg(u, off);

    switch (off) {
    case REG_IQT:
        replay_run(u);
        break;
    case REG_CCMD + 4:
        if (now & (u32)(CCMD_ICC >> 32))
            context_command(u);
        break;
    case V_IRO + REG_IOTLB + 4:
        if (now & (u32)(IOTLB_IVT >> 32))
            iotlb_command(u);
        break;
    case REG_FECTL:
    case REG_IECTL:
    case REG_PECTL:
        if (!(now & MSG_IM) && now & MSG_IP) /* what happened while masked is told now */
            raise(u, off);
        break;
    case REG_FSTS:
        /* The error record is valid only while its bit is set (11.4.9.9). */
        if (!(now & FSTS_ITE))
            set64(u, REG_IQERCD, vreg64(u, REG_IQERCD) & ~IQERCD_ITESID);
        if (old & ~now & FSTS_IQE) {
            set64(u, REG_IQERCD, vreg64(u, REG_IQERCD) & ~IQERCD_IQEI);
            replay_run(u); /* fetching resumes at the head (6.5.2.10) */
        }
        faults_served(u);
        break;
    case REG_ICS:
        if (!(now & ICS_IWC))
            *reg(u, REG_IECTL) &= ~(u32)MSG_IP;
        break;
    case REG_PRS:
        if (!now)
            *reg(u, REG_PECTL) &= ~(u32)MSG_IP;
        break;
    default:
        if (is_fault_flag(off))
            faults_served(u);
        break;
    }
}

static void write32(struct unit *u, u32 off, u32 value)
{
    u32 rw = writable[off / 4].rw, w1c = writable[off / 4].w1c, old = *reg(u, off);

    if (off == REG_GCMD) {
        command(u, value);
        return;
    }
    if (is_fault_flag(off))
        w1c = (u32)(FRCD_F >> 32);
    if ((!rw && !w1c) || (off >= REG_PQH && off < V_IRO && !u->v.rules.prs))
        return;
    /* The queue's address is fixed while the queue is on (11.4.9.3). */
    if ((off == REG_IQA || off == REG_IQA + 4) && vreg32(u, REG_GSTS) & GCMD_QIE)
        rw = 0;
    *reg(u, off) = ((old & ~rw) | (value & rw)) & ~(value & w1c);
    written(u, off, old);
}

static __attribute__((noinline)) void write_any(struct unit *u, u32 off, unsigned width, u64 value)
{
    bool went_on = replay_continue(u);

    if ((width != 4 && width != 8) || off % 4 || off + width > VREGS_SIZE) {
        /* Narrower than a register, straddling two, or nobody's: ignored (11.2 defines none of them). */
        env_log_limited(ENV_DEBUG, "unit %u: guest's %u-byte write to register %x ignored", u->index, width,
                        off);
    } else {
        write32(u, off, (u32)value);
        if (width == 8)
            write32(u, off + 4, (u32)(value >> 32));
    }
    if (went_on)
        replay_run(u);
}

void vregs_write(struct unit *u, u32 off, unsigned width, u64 value)
{
    if (off != REG_IQT || width < 4) { /* its high half holds nothing */
        write_any(u, off, width, value);
        return;
    }
    *reg(u, REG_IQT) = value & IQT_QT; /* what a guest writes all the time */
    replay_run(u);
}

u64 vregs_read(const struct unit *u, u32 off, unsigned width)
{
    u64 value = 0;

    if (width == 4 && off % 4 == 0 && off < VREGS_SIZE)
        return vreg32(u, off);
    for (unsigned i = 0; i < width && i < 8 && off + i < VREGS_SIZE; i++)
        value |= (u64)((const u8 *)u->v.regs)[off + i] << (8 * i);
    return value;
}
