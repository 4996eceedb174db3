/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers: an allowlist. What is not in the table does not exist for the guest.
 */
#include "arch/cpu.h"
#include "arch/lapic.h"
#include "arch/log.h"
#include "hv/exit.h"
#include "hv/fetch.h"

#define MSR_MISC_ENABLE 0x1a0u
#define MSR_PEBS_ENABLE 0x3f1u
#define MSR_RTIT_CTL    0x570u
#define MSR_XSS         0xda0u
#define MSR_HWCR        0xc0010015u

#define MISC_ENABLE_NX_OFF BIT(34)
#define MISC_ENABLE_LIMIT  BIT(22)           /* of CPUID leaves */
#define DEBUGCTL_ALLOWED   (BIT(0) | BIT(1)) /* LBR, BTF: no effect outside the guest's own steps */
#define HWCR_ALLOWED       (BIT(18) | BIT(24) | BIT(25) | BIT(27) | BIT(30))
#define VM_CR_LOCKED_OFF   (BIT(3) | BIT(4)) /* SVM is disabled and that is locked */

/* The trace's state: XRSTORS then writes its registers, physical addresses among them (SDM 1, 13.5.6). */
#define XSS_TRACE BIT(8)

/*
 * What happens on a read and on a write. PASS needs no exit where the backend's bitmap reaches; the backend
 * exchanges these values with the hypervisor's or the hypervisor does not depend on them.
 */
enum policy {
    NONE,   /* #GP, told once */
    QUIET,  /* #GP, expected */
    PASS,   /* the CPU's own */
    REAL,   /* the CPU's own, where it has it */
    SAME,   /* write: accepted when nothing changes, else #GP and a line */
    IGNORE, /* write: accepted, without effect, and a line */
    GUEST,  /* the backend keeps the guest's value */
    SPECIAL,
};

struct rule {
    u32 first, last;
    u8 read, write;
};

/* Ascending. */
static const struct rule rules[] = {
    { 0x0000, 0x0001, PASS, PASS },       /* P5_MC_ADDR, P5_MC_TYPE */
    { MSR_TSC, MSR_TSC, GUEST, GUEST },   /* */
    { 0x0017, 0x0017, REAL, QUIET },      /* PLATFORM_ID */
    { 0x001b, 0x001b, SPECIAL, SPECIAL }, /* APIC_BASE */
    { 0x002a, 0x002a, REAL, QUIET },      /* EBL_CR_POWERON */
    { 0x0034, 0x0034, REAL, QUIET },      /* SMI_COUNT */
    { 0x003a, 0x003a, SPECIAL, QUIET },   /* FEATURE_CONTROL */
    { 0x003b, 0x003b, GUEST, GUEST },     /* TSC_ADJUST */
    { 0x0048, 0x0049, PASS, PASS },       /* SPEC_CTRL, PRED_CMD */
    { 0x0079, 0x0079, QUIET, IGNORE },    /* microcode update */
    { 0x008b, 0x008b, REAL, IGNORE },     /* microcode revision */
    { 0x009b, 0x009e, QUIET, QUIET },     /* SMM_MONITOR_CTL, SMBASE */
    { 0x00c1, 0x00c8, PASS, PASS },       /* performance counters */
    { 0x00ce, 0x00cf, REAL, QUIET },      /* PLATFORM_INFO, CORE_CAPABILITIES */
    { 0x00e1, 0x00e1, PASS, PASS },       /* UMWAIT_CONTROL */
    { 0x00e7, 0x00e8, REAL, REAL },       /* MPERF, APERF */
    { 0x00fe, 0x00fe, REAL, QUIET },      /* MTRRCAP */
    { 0x010a, 0x010b, REAL, REAL },       /* ARCH_CAPABILITIES, FLUSH_CMD */
    { 0x0122, 0x0123, REAL, REAL },       /* TSX_CTRL, MCU_OPT_CTRL */
    { 0x0140, 0x0140, REAL, REAL },       /* MISC_FEATURES_ENABLES */
    { 0x0174, 0x0176, PASS, PASS },       /* SYSENTER */
    { 0x0179, 0x017b, REAL, REAL },       /* MCG_CAP, MCG_STATUS, MCG_CTL */
    { 0x0186, 0x018d, PASS, PASS },       /* performance event selection */
    { 0x0198, 0x019d, REAL, REAL },       /* PERF_STATUS, thermal */
    { MSR_MISC_ENABLE, MSR_MISC_ENABLE, REAL, SPECIAL },
    { 0x01a2, 0x01a7, REAL, REAL }, /* temperature target, prefetch, off-core */
    { 0x01ad, 0x01b2, REAL, REAL }, /* turbo, energy bias, package thermal */
    { 0x01c4, 0x01c5, PASS, PASS }, /* XFD */
    { 0x01c8, 0x01c9, REAL, REAL }, /* LBR selection and top */
    { MSR_DEBUGCTL, MSR_DEBUGCTL, REAL, SPECIAL },
    { 0x01db, 0x01de, REAL, REAL },            /* last branch */
    { 0x01fc, 0x01fc, REAL, SAME },            /* POWER_CTL */
    { 0x0200, 0x021f, SPECIAL, SPECIAL },      /* MTRRs */
    { 0x0250, 0x026f, SPECIAL, SPECIAL },      /* */
    { 0x0277, 0x0277, GUEST, GUEST },          /* PAT */
    { 0x0280, 0x029f, REAL, REAL },            /* CMCI control */
    { 0x02ff, 0x02ff, SPECIAL, SPECIAL },      /* MTRR default type */
    { 0x0309, 0x030c, PASS, PASS },            /* fixed counters */
    { 0x0345, 0x0345, REAL, QUIET },           /* PERF_CAPABILITIES */
    { 0x038d, 0x0391, PASS, PASS },            /* performance control */
    { 0x0400, 0x047f, REAL, REAL },            /* machine-check banks */
    { 0x0480, 0x0491, QUIET, QUIET },          /* VMX */
    { 0x04c1, 0x04c8, PASS, PASS },            /* full-width counters */
    { 0x0560, 0x0587, QUIET, QUIET },          /* processor trace */
    { 0x0600, 0x0600, QUIET, QUIET },          /* DS_AREA: the CPU writes where it points to */
    { 0x0601, 0x0661, REAL, REAL },            /* power limits and counters, C-state residency */
    { 0x06a0, 0x06a8, PASS, PASS },            /* shadow stacks */
    { 0x06e0, 0x06e0, GUEST, GUEST },          /* TSC_DEADLINE; passed until the guest moves its TSC */
    { 0x0770, 0x0777, REAL, REAL },            /* hardware P-states */
    { 0x0800, 0x08ff, PASS, PASS },            /* x2APIC; msr_init() takes the ICR and the LVT out */
    { 0x0c80, 0x0c80, REAL, QUIET },           /* DEBUG_INTERFACE */
    { 0x0c81, 0x0d8f, REAL, REAL },            /* resource allocation */
    { MSR_XSS, MSR_XSS, PASS, SPECIAL },       /* */
    { 0x0db0, 0x0db2, REAL, REAL },            /* hardware duty cycling */
    { MSR_EFER, MSR_EFER, GUEST, SPECIAL },    /* */
    { 0xc0000081, 0xc0000084, PASS, PASS },    /* STAR to SFMASK */
    { 0xc00000e7, 0xc00000e9, REAL, QUIET },   /* read-only MPERF, APERF, IRPERF */
    { 0xc0000100, 0xc0000103, PASS, PASS },    /* FS and GS bases, TSC_AUX */
    { 0xc0000104, 0xc0000104, QUIET, QUIET },  /* TSC ratio of SVM */
    { 0xc0000108, 0xc0000108, REAL, REAL },    /* prefetch control */
    { 0xc0000200, 0xc0000403, REAL, REAL },    /* quality of service, */
    { 0xc0000408, 0xc000040f, REAL, REAL },    /* and machine-check thresholds */
    { 0xc0002000, 0xc0002fff, REAL, REAL },    /* scalable machine check */
    { 0xc0010000, 0xc0010007, PASS, PASS },    /* performance counters */
    { 0xc0010010, 0xc0010010, REAL, SAME },    /* SYSCFG */
    { MSR_HWCR, MSR_HWCR, REAL, SPECIAL },     /* */
    { 0xc0010016, 0xc001001a, REAL, SAME },    /* IORR, TOP_MEM */
    { 0xc001001d, 0xc001001d, REAL, SAME },    /* TOP_MEM2 */
    { 0xc001001f, 0xc001001f, REAL, SAME },    /* NB_CFG */
    { 0xc0010020, 0xc0010020, QUIET, IGNORE }, /* microcode update */
    { 0xc0010022, 0xc0010022, REAL, SAME },    /* machine-check redirection */
    { 0xc0010030, 0xc0010035, REAL, SAME },    /* name */
    { 0xc0010044, 0xc001004a, REAL, REAL },    /* machine-check masks */
    { 0xc0010055, 0xc0010058, REAL, SAME },    /* interrupt message, ..., ECAM base */
    { 0xc0010061, 0xc0010073, REAL, REAL },    /* P- and C-states */
    { 0xc0010111, 0xc0010113, QUIET, QUIET },  /* SMBASE, SMM_ADDR, SMM_MASK */
    { MSR_VM_CR, MSR_VM_CR, SPECIAL, QUIET },  /* */
    { 0xc0010115, 0xc0010118, QUIET, QUIET },  /* IGNNE, SMM_CTL, VM_HSAVE_PA, SVM_KEY */
    { 0xc001011f, 0xc001011f, REAL, REAL },    /* VIRT_SPEC_CTRL */
    { 0xc0010130, 0xc0010131, QUIET, QUIET },  /* memory encryption */
    { 0xc0010140, 0xc0010141, REAL, SAME },    /* errata */
    { 0xc0010200, 0xc001020b, PASS, PASS },    /* performance counters */
    { 0xc0010230, 0xc001023b, REAL, REAL },    /* of the L3 cache */
    { 0xc0010240, 0xc0010247, REAL, REAL },    /* of the north bridge */
    { 0xc0010299, 0xc001029b, REAL, QUIET },   /* energy */
    { 0xc00102b0, 0xc00102b4, REAL, REAL },    /* collaborative P-states */
    { 0xc0010300, 0xc0010301, REAL, REAL },    /* */
    { 0xc0011002, 0xc0011005, REAL, REAL },    /* what CPUID says of features: Sluice asked before */
    { 0xc0011020, 0xc0011020, REAL, REAL },    /* LS_CFG */
    { 0xc0011021, 0xc0011028, REAL, SAME },    /* */
    { 0xc0011029, 0xc0011029, REAL, REAL },    /* DE_CFG */
    { 0xc001102a, 0xc001102f, REAL, SAME },    /* */
};

static const struct rule *find_rule(u32 msr)
{
    unsigned low = 0, high = ARRAY_SIZE(rules);

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (msr < rules[mid].first)
            high = mid;
        else if (msr > rules[mid].last)
            low = mid + 1;
        else
            return &rules[mid];
    }
    return NULL;
}

/* xAPIC registers as x2APIC MSRs: ICR, and the local interrupts with a delivery mode. */
static bool is_judged_x2apic(u32 msr)
{
    return msr == 0x830 || msr == 0x82f || (msr >= 0x833 && msr <= 0x836) || (msr >= 0x850 && msr <= 0x853);
}

void msr_init(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rules); i++)
        for (u32 msr = rules[i].first; msr <= rules[i].last; msr++)
            vcpu_ops->pass_msr(msr, rules[i].read == PASS, rules[i].write == PASS && !is_judged_x2apic(msr));
    vcpu_ops->pass_msr(0x6e0, true, true);
    mtrr_init();
}

int msr_cpu_init(void)
{
    /* By each of these a CPU writes to memory past all tables. */
    static const u32 writers[] = { MSR_RTIT_CTL, MSR_PEBS_ENABLE, MSR_XSS };
    u64 now;

    for (unsigned i = 0; i < ARRAY_SIZE(writers); i++)
        if (rdmsr_safe(writers[i], &now) && now && !wrmsr_safe(writers[i], 0)) {
            log_err("MSR %x is %lx and cannot be cleared: switch tracing off in firmware's setup", writers[i],
                    now);
            return ERR_BUSY;
        }
    return 0;
}

/* EFER bits that this CPU has (AMD APM 2, 3.1.7). SVME is not the guest's to see. */
static u64 efer_bits(void)
{
    static const struct {
        u32 leaf;
        u8 reg, bit, efer_bit;
    } table[] = {
        { 0x80000001, 3, 11, 0 },  /* SYSCALL */
        { 0x80000001, 3, 29, 8 },  /* long mode: LME */
        { 0x80000001, 3, 29, 10 }, /* LMA, read-only */
        { 0x80000001, 3, 20, 11 }, /* NX */
        { 0x80000001, 3, 25, 14 }, /* FFXSR */
        { 0x80000001, 2, 17, 15 }, /* TCE */
        { 0x80000008, 1, 8, 17 },  /* MCOMMIT */
        { 0x80000008, 1, 13, 18 }, /* INTWB */
        { 0x80000021, 0, 7, 20 },  /* UAI */
        { 0x80000021, 0, 8, 21 },  /* automatic IBRS */
    };
    static u64 bits; /* the same on every CPU */
    u32 r[4];

    if (bits)
        return bits;
    u64 found = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        cpuid_or_0(table[i].leaf, 0, r);
        if (r[table[i].reg] & 1u << table[i].bit)
            found |= BIT(table[i].efer_bit);
    }
    return bits = found;
}

static bool write_efer(struct vcpu *v, u64 value)
{
    bool paging = vcpu_ops->get(v, REG_CR0) & CR0_PG;

    if ((value & ~efer_bits()) || (paging && ((value ^ vcpu_ops->get(v, REG_EFER)) & EFER_LME)))
        return false;
    return vcpu_write_msr(v, MSR_EFER, value);
}

static bool special_read(const struct vcpu *v, u32 msr, u64 *value)
{
    switch (msr) {
    case MSR_APIC_BASE:
        *value = apic_read_base(v);
        return true;
    case MSR_FEATURE_CONTROL:
        if (!rdmsr_safe(msr, value))
            return false;
        *value = FEATURE_LOCK; /* and nothing else enabled */
        return true;
    case MSR_VM_CR:
        *value = VM_CR_LOCKED_OFF;
        return true;
    default:
        return mtrr_read(msr, value);
    }
}

/* Changes of the `allowed` bits only. */
static bool write_bits(u32 msr, u64 value, u64 allowed)
{
    u64 now;

    return rdmsr_safe(msr, &now) && !((value ^ now) & ~allowed) && wrmsr_safe(msr, value);
}

static bool special_write(struct vcpu *v, u32 msr, u64 value)
{
    switch (msr) {
    case MSR_EFER:
        return write_efer(v, value);
    case MSR_APIC_BASE:
        return apic_write_base(v, value);
    case MSR_MISC_ENABLE:
        return write_bits(msr, value, ~(MISC_ENABLE_NX_OFF | MISC_ENABLE_LIMIT));
    case MSR_DEBUGCTL:
        return write_bits(msr, value, DEBUGCTL_ALLOWED);
    case MSR_HWCR:
        return write_bits(msr, value, HWCR_ALLOWED);
    case MSR_XSS:
        return !(value & XSS_TRACE) && wrmsr_safe(msr, value);
    default:
        return mtrr_write(msr, value);
    }
}

static void tell(const char *what, u32 msr, u64 value, u64 rip)
{
    log_rated(LOG_INFO, "MSR          %s %x, value %lx (rip %lx)", what, msr, value, rip);
}

static bool read_msr(struct vcpu *v, u32 msr, u64 *value)
{
    const struct rule *rule = find_rule(msr);

    switch (rule ? rule->read : NONE) {
    case PASS: /* beyond the backend's bitmap */
    case REAL:
        return rdmsr_safe(msr, value);
    case GUEST:
        return vcpu_read_msr(v, msr, value);
    case SPECIAL:
        return special_read(v, msr, value);
    case NONE:
        if (log_threshold >= LOG_DEBUG)
            tell("read of unknown", msr, 0, v->rip);
        return false;
    default:
        return false;
    }
}

static bool write_msr(struct vcpu *v, u32 msr, u64 value)
{
    const struct rule *rule = find_rule(msr);
    u64 now;

    switch (rule ? rule->write : NONE) {
    case PASS:
        if (is_judged_x2apic(msr))
            return apic_write_x2(v, msr, value);
        return wrmsr_safe(msr, value);
    case REAL:
        return wrmsr_safe(msr, value);
    case SAME:
        if (rdmsr_safe(msr, &now) && now == value)
            return true;
        tell("refused write of", msr, value, v->rip);
        return false;
    case IGNORE:
        if (value) /* a driver clears the revision before it reads it */
            tell("ignored write of", msr, value, v->rip);
        return true;
    case GUEST:
        return vcpu_write_msr(v, msr, value);
    case SPECIAL:
        return special_write(v, msr, value);
    case NONE:
        tell("refused write of unknown", msr, value, v->rip);
        return false;
    default:
        return false;
    }
}

void handle_rdmsr(struct vcpu *v)
{
    static const u8 opcode[] = { 0x0f, 0x32 };
    u64 value;

    if (vcpu_ops->get(v, REG_CPL) || !read_msr(v, (u32)v->gpr[RCX], &value)) {
        vcpu_inject_exception(v, VEC_GP, true, 0);
        return;
    }
    if (!fetch_skip(v, opcode, sizeof(opcode)))
        return;
    v->gpr[RAX] = (u32)value;
    v->gpr[RDX] = value >> 32;
}

void handle_wrmsr(struct vcpu *v)
{
    static const u8 opcode[] = { 0x0f, 0x30 };
    u64 value = (u32)v->gpr[RAX] | v->gpr[RDX] << 32;

    if (vcpu_ops->get(v, REG_CPL) || !write_msr(v, (u32)v->gpr[RCX], value)) {
        vcpu_inject_exception(v, VEC_GP, true, 0);
        return;
    }
    /* Written, but the bytes are others now: the guest that rewrites its own WRMSR may write again. */
    if (!fetch_skip(v, opcode, sizeof(opcode)))
        return;
}
