/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bringing a real unit up, whatever firmware left on, and the few commands it takes afterwards.
 */
#include "iommu/parts.h"

#define COMMAND_DEADLINE_US 1000000

static bool wait_gsts(struct unit *u, u32 bit, bool set)
{
    u64 start = env_now_us();

    while (!!(env_read32(u->regs, REG_GSTS) & bit) != set) {
        if (env_now_us() - start > COMMAND_DEADLINE_US)
            return false;
        env_relax();
    }
    return true;
}

/* One change per write, the other persistent bits as GSTS shows them (11.4.4.1). */
static int command(struct unit *u, u32 bit, bool on, const char *name)
{
    u32 state = env_read32(u->regs, REG_GSTS) & GSTS_PERSISTENT;

    if (u->hq.lost)
        return ERR_TIMEDOUT; /* once is enough */
    env_write32(u->regs, REG_GCMD, on ? state | bit : state & ~bit);
    if (wait_gsts(u, bit, on))
        return 0;
    env_log(ENV_ERR, "unit %u at %llx: %s does not take effect; the unit is broken", u->index,
            (unsigned long long)u->base, name);
    hostq_lose(u);
    return ERR_TIMEDOUT;
}

static int missing(struct unit *u, const char *what)
{
    env_log(ENV_ERR, "unit %u at %llx cannot do %s (CAP %llx, ECAP %llx); Sluice needs it", u->index,
            (unsigned long long)u->base, what, (unsigned long long)u->cap, (unsigned long long)u->ecap);
    return ERR_NODEV;
}

static bool translates(struct unit *u)
{
    return env_read32(u->regs, REG_GSTS) & GCMD_TE;
}

static u64 mode_now(struct unit *u)
{
    return field_get(env_read64(u->regs, REG_RTADDR), RTADDR_TTM);
}

static u64 mode_wanted(const struct unit *u)
{
    return u->scalable ? TTM_SCALABLE : TTM_LEGACY;
}

/* The table mode may change under translation only with ESRTPS (11.4.5). */
static bool stays_on(struct unit *u)
{
    return translates(u) && (mode_now(u) == mode_wanted(u) || u->cap & CAP_ESRTPS);
}

/* With the scalable mode the unit does all of legacy mode too, with tables of one stage or the other. */
static int choose_tables(struct unit *u)
{
    u64 sagaw = field_get(u->cap, CAP_SAGAW) & (BIT(1) | BIT(2) | BIT(3));
    bool second = u->ecap & ECAP_SSTS, first = u->ecap & ECAP_FSTS, nest = second && u->ecap & ECAP_NEST;

    u->scalable = u->ecap & ECAP_SMTS && (second || first);
    /* A mode that cannot change under translation, and which we can use, stays firmware's: nothing opens. */
    if (translates(u) && !(u->cap & CAP_ESRTPS) && mode_now(u) == TTM_LEGACY && sagaw)
        u->scalable = false;
    u->own_pgtt = u->scalable && !second ? PGTT_FIRST : PGTT_SECOND;
    if (u->scalable && first && (nest || iommu_opts.direct))
        u->first_pgtt = nest ? PGTT_NESTED : PGTT_FIRST;
    u->sslps = field_get(u->cap, CAP_SSLPS);
    u->max_levels = sagaw & BIT(3) ? 5 : sagaw & BIT(2) ? 4 : 3;
    if (u->own_pgtt == PGTT_FIRST) {
        u->sslps = 1 | (u->cap & CAP_FS1GP ? 2 : 0);
        u->max_levels = 4;
    } else if (!sagaw) {
        return missing(u, "3-, 4- or 5-level second-stage tables");
    }
    if (iommu_opts.no_caching_mode && !u->first_pgtt)
        return missing(u,
                       "cm=off: only first-stage tables do without caching mode, and it neither nests them "
                       "nor was firststage=direct given");
    return 0;
}

int hw_probe(struct unit *u)
{
    int err;

    u->regs = env_regs_map(u->base, u->size);
    if (!u->regs)
        return ERR_NOMEM;
    u->cap = env_read64(u->regs, REG_CAP);
    u->ecap = env_read64(u->regs, REG_ECAP);
    if (u->cap == ~0ull || !u->cap)
        return missing(u, "anything: its registers do not answer");
    err = choose_tables(u);
    if (err)
        return err;
    if (!(u->ecap & ECAP_QI))
        return missing(u, "queued invalidation");
    if (iommu_opts.strict && !(u->ecap & ECAP_IR))
        return missing(u, "interrupt remapping, which intr=strict asks for");
    if (field_get(u->cap, CAP_ND) == 7)
        return missing(u, "a defined number of domain-ids");
    u->did_limit = 1u << (4 + 2 * field_get(u->cap, CAP_ND));
    u->coherent = u->ecap & ECAP_C;
    u->drain_reads = u->cap & CAP_DRD;
    u->drain_writes = u->cap & CAP_DWD;
    u->psi = u->cap & CAP_PSI;
    u->mamv = (unsigned)field_get(u->cap, CAP_MAMV);
    if (u->mamv > ORDER_ALL)
        return missing(u, "an address mask within its own address width");
    u->device_tlb = u->ecap & ECAP_DT;
    u->iotlb_off = (unsigned)field_get(u->ecap, ECAP_IRO) * 16;
    u->frcd_off = (unsigned)field_get(u->cap, CAP_FRO) * 16;
    u->coherent = u->coherent && (!u->scalable || u->ecap & ECAP_SMPWC);
    u->nr_frcd = (unsigned)field_get(u->cap, CAP_NFR) + 1;
    if (u->frcd_off + u->nr_frcd * 16 > u->size || u->iotlb_off + 16 > u->size)
        return missing(u, "fault or IOTLB registers inside its own window");
    return 0;
}

/* Firmware may have left its own queue running: it is emptied before ours takes its place (6.5.2). */
static int stop_queue(struct unit *u)
{
    u64 start = env_now_us();

    if (!(env_read32(u->regs, REG_GSTS) & GCMD_QIE))
        return 0;
    env_write32(u->regs, REG_FSTS, FSTS_IQE | FSTS_ITE | FSTS_ICE);
    while (env_read64(u->regs, REG_IQH) != (env_read64(u->regs, REG_IQT) & IQT_QT)) {
        if (env_now_us() - start > COMMAND_DEADLINE_US)
            break; /* switching it off below either works or is reported */
        env_relax();
    }
    return command(u, GCMD_QIE, false, "disabling firmware's invalidation queue");
}

static int start_queue(struct unit *u)
{
    env_write64(u->regs, REG_IQT, 0); /* it keeps its old value over QIE */
    env_write64(u->regs, REG_IQA,
                env_phys(u->hq.ring) | (u64)__builtin_ctz(HQ_PAGES) | (u->scalable ? IQA_DW : 0));
    return command(u, GCMD_QIE, true, "enabling the invalidation queue");
}

int hw_restart_queue(struct unit *u)
{
    int err = command(u, GCMD_QIE, false, "disabling the invalidation queue");

    env_write32(u->regs, REG_FSTS, FSTS_IQE | FSTS_ITE | FSTS_ICE);
    return err ? err : start_queue(u);
}

static void write_buffer_flush(struct unit *u)
{
    u32 state = env_read32(u->regs, REG_GSTS) & GSTS_PERSISTENT;

    if (!(u->cap & CAP_RWBF) || u->hq.lost)
        return;
    env_write32(u->regs, REG_GCMD, state | GCMD_WBF);
    if (!wait_gsts(u, GCMD_WBF, false))
        hostq_lose(u);
}

void hw_publish(struct unit *u, const void *page)
{
    if (!u->coherent)
        env_writeback(page, PAGE_SIZE);
    write_buffer_flush(u);
}

void hw_write_entry(struct unit *u, u64 *host, const u64 *want, unsigned quads)
{
    /* P, in the first quadword, goes first and comes last: hardware reads at most 16 bytes at once (9.6), and
     * must never see half of one entry and half of another. */
    env_store64(host, 0);
    for (unsigned i = quads; i-- > 0;)
        env_store64(&host[i], want[i]);
    if (!u->coherent)
        env_writeback(host, quads * sizeof(*host));
}

int hw_set_root(struct unit *u, const struct root_entry *root)
{
    env_write64(u->regs, REG_RTADDR, env_phys(root) | field_prep(RTADDR_TTM, mode_wanted(u)));
    write_buffer_flush(u);
    return command(u, GCMD_SRTP, true, "setting the root table pointer");
}

/* Emulated units let compatibility format pass without saying so: nothing to refuse, but nothing to promise
 * either. */
static void set_compatibility(struct unit *u, bool on)
{
    u32 state = env_read32(u->regs, REG_GSTS) & GSTS_PERSISTENT;
    u64 start = env_now_us();

    env_write32(u->regs, REG_GCMD, on ? state | GCMD_CFI : state & ~(u32)GCMD_CFI);
    while (!!(env_read32(u->regs, REG_GSTS) & GCMD_CFI) != on) {
        if (env_now_us() - start > 1000) {
            env_log(ENV_DEBUG, "unit %u does not switch compatibility-format interrupts", u->index);
            return;
        }
        env_relax();
    }
}

int hw_set_irta(struct unit *u, u64 irta)
{
    u32 gsts = env_read32(u->regs, REG_GSTS);
    int err = 0;

    if (gsts & GCMD_SIRTP && env_read64(u->regs, REG_IRTA) == irta)
        return 0;
    /* The pointer may change while it is in use only with ESIRTPS (11.4.10). */
    if (gsts & GCMD_IRE && !(u->cap & CAP_ESIRTPS))
        err = command(u, GCMD_IRE, false, "pausing interrupt remapping");
    if (err)
        return err;
    env_write64(u->regs, REG_IRTA, irta);
    write_buffer_flush(u);
    return command(u, GCMD_SIRTP, true, "setting the interrupt remapping table");
}

int hw_remap(struct unit *u, bool compatibility)
{
    set_compatibility(u, compatibility);
    return command(u, GCMD_IRE, true, "enabling interrupt remapping");
}

static void arm_events(struct unit *u)
{
    static const u16 groups[] = { REG_FECTL, REG_IECTL, REG_PECTL };
    u64 address;
    u32 data;

    env_event_message(&address, &data);
    for (unsigned i = 0; i < (u->prq.ring ? 3 : 2); i++) {
        env_write32(u->regs, groups[i] + MSG_DATA, data);
        env_write32(u->regs, groups[i] + MSG_ADDR, (u32)address);
        env_write32(u->regs, groups[i] + MSG_UADDR, (u32)(address >> 32));
        env_write32(u->regs, groups[i], 0); /* unmask */
    }
}

/* Protected memory on or off (11.4.15). */
static int protect_memory(struct unit *u, bool on)
{
    u64 start = env_now_us();

    env_write32(u->regs, REG_PMEN, on ? PMEN_EPM : 0);
    while (!!(env_read32(u->regs, REG_PMEN) & PMEN_PRS) != on) {
        if (env_now_us() - start > COMMAND_DEADLINE_US)
            return ERR_TIMEDOUT;
        env_relax();
    }
    return 0;
}

int hw_guard(struct unit *u, u64 base, u64 size, bool *bare)
{
    if (stays_on(u) || env_read32(u->regs, REG_PMEN) & PMEN_PRS)
        return 0;
    *bare |= !(u->cap & CAP_PLMR);
    if (!(u->cap & CAP_PLMR))
        return 0;
    env_write32(u->regs, REG_PLMBASE, (u32)base);
    env_write32(u->regs, REG_PLMLIMIT, (u32)(base + size - 1));
    return protect_memory(u, true);
}

/*
 * The order keeps whatever protection firmware had: its translation stays on while the root pointer is
 * replaced by ours, and its protected memory stays protected until our translation is on.
 */
int hw_translate(struct unit *u)
{
    int err = 0;

    env_write32(u->regs, REG_FECTL, MSG_IM);
    env_write32(u->regs, REG_IECTL, MSG_IM);
    if (translates(u) && !stays_on(u)) {
        env_log(ENV_WARN,
                "unit %u: firmware's translation is switched off for the takeover: other table mode",
                u->index);
        err = command(u, GCMD_TE, false, "disabling firmware's translation");
    }
    if (!err)
        err = stop_queue(u);
    if (!err)
        err = start_queue(u);
    if (!err)
        err = hw_set_root(u, u->root_off);
    if (err)
        return err;
    plan_everything(u);
    emit_batch(u);
    hostq_settle(u);
    plan_reset(u);
    return command(u, GCMD_TE, true, "enabling translation");
}

int hw_takeover(struct unit *u)
{
    int err = hw_translate(u);

    if (!err && env_read32(u->regs, REG_PMEN) & PMEN_PRS)
        err = protect_memory(u, false);
    if (!err)
        err = ir_apply(u);
    if (err)
        return err;
    fault_collect(u); /* firmware's leftovers are nobody's news */
    prq_start(u);
    arm_events(u);
    return 0;
}
