/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task switches of 32-bit code, which VMX leaves to software (SDM 3A, 8.3; 3C, 26.4.2). Before the exit the
 * CPU has checked the gate and the privilege. A fault before the new task is loaded is the old task's; after
 * that, the new one's. 16-bit tasks are refused with #TS.
 */
#include "arch/vmx/vmx_int.h"

enum { FROM_CALL, FROM_IRET, FROM_JMP, FROM_GATE };
enum { TSS_AVAILABLE = 9, TSS_BUSY = 11, TYPE_LDT = 2 };

#define Q_SELECTOR MASK(15, 0)
#define Q_SOURCE   MASK(31, 30)

#define SEL_LOCAL BIT(2)
#define SEL_INDEX MASK(15, 3)
#define SEL_RPL   MASK(1, 0)

#define RFLAGS_VALID 0x3f7fd7u
#define DR7_LOCAL    0x155u
#define ATTR_TYPE    MASK(3, 0)
#define ATTR_S       BIT(4)
#define ATTR_PRESENT BIT(7)
#define ATTR_G       BIT(11)

struct tss32 {
    u32 link, stacks[6], cr3, eip, eflags, gpr[8];
    u32 selector[6]; /* ES CS SS DS FS GS */
    u32 ldt;
    u16 trap, io_map;
};
_Static_assert(sizeof(struct tss32) == 104, "SDM 3A, figure 8-2");

struct task_switch {
    struct vmx_vcpu *vm;
    struct vcpu_mode mode; /* for supervisor accesses in the address space that counts */
};

static bool access(struct task_switch *t, u64 linear, void *data, unsigned size, bool write)
{
    return vcpu_guest_access(t->vm->v, &t->mode, (u32)linear, data, size, write);
}

static bool fault(struct task_switch *t, u8 vector, u64 selector)
{
    vcpu_inject_exception(t->vm->v, vector, true, (u32)(selector & ~SEL_RPL));
    return false;
}

/* Where a selector's descriptor lies. False: it names none. */
static bool locate(u64 selector, u64 *linear)
{
    struct vcpu_segment table;

    vmx_get_segment(NULL, selector & SEL_LOCAL ? SEG_LDTR : SEG_GDTR, &table);
    *linear = table.base + (selector & SEL_INDEX);
    return (selector & SEL_INDEX) + 7 <= table.limit && selector & ~SEL_RPL &&
           (table.attrib || !(selector & SEL_LOCAL));
}

static struct vcpu_segment unpack(u64 selector, u64 raw)
{
    struct vcpu_segment d = {
        .selector = (u16)selector,
        .base = (raw >> 16 & 0xffffff) | (raw >> 56) << 24,
        .limit = (u32)((raw & 0xffff) | (raw >> 32 & 0xf0000)),
        .attrib = (u16)((raw >> 40 & 0xff) | (raw >> 44 & 0xf00)),
    };

    if (d.attrib & ATTR_G)
        d.limit = d.limit << 12 | 0xfff;
    return d;
}

static bool set_busy(struct task_switch *t, u64 selector, bool busy)
{
    u64 linear;
    u8 type;

    if (!locate(selector, &linear) || !access(t, linear + 5, &type, 1, false))
        return true; /* the guest has taken it away meanwhile */
    type = (u8)(busy ? type | 2 : type & ~2);
    return access(t, linear + 5, &type, 1, true);
}

/* SDM 3A, 8.2: eip points behind the instruction that switched, if it was one. */
static bool save_old(struct task_switch *t, unsigned source)
{
    struct vcpu *v = t->vm->v;
    u64 base = vmread(GUEST_BASE + 2 * VMCS_TR);
    struct tss32 old;
    u32 type = (u32)field_get(vmread(VECTORING_EVENT), EVENT_TYPE);
    bool insn = source != FROM_GATE || type == EVENT_SOFT_INT || type == EVENT_SOFT || type == EVENT_PRIV;

    old.eip = (u32)(v->rip + (insn ? vmread(EXIT_INSN_LENGTH) : 0));
    old.eflags = (u32)(source == FROM_IRET ? v->rflags & ~RFLAGS_NT : v->rflags);
    for (unsigned i = 0; i < 8; i++)
        old.gpr[i] = (u32)v->gpr[i];
    for (unsigned i = 0; i < 6; i++)
        old.selector[i] = (u32)vmread(GUEST_SELECTOR + 2 * i);
    return access(t, base + offsetof(struct tss32, eip), &old.eip,
                  offsetof(struct tss32, ldt) - offsetof(struct tss32, eip), true);
}

/* With PAE the four top entries are part of CR3. */
static bool load_cr3(struct task_switch *t, u32 cr3)
{
    struct vcpu_mode physical = t->mode;
    u64 pdpte[4];

    physical.cr0 &= ~CR0_PG;
    if (!(t->mode.cr0 & CR0_PG))
        return true;
    if (t->mode.cr4 & CR4_PAE) {
        if (!vcpu_guest_access(t->vm->v, &physical, cr3 & ~31u, pdpte, sizeof(pdpte), false))
            return false;
        for (unsigned i = 0; i < 4; i++)
            vmwrite(GUEST_PDPTE0 + 2 * i, pdpte[i]);
    }
    vmwrite(GUEST_CR3, cr3);
    t->mode.cr3 = cr3;
    vmx_flush_vpid(t->vm);
    return true;
}

/* SDM 3A, table 8-1: may this segment register hold such a descriptor? */
static bool fits(unsigned seg, u32 bits, u8 rpl, u8 cpl)
{
    bool code = bits & BIT(3), conforming = code && bits & BIT(2), read_write = bits & BIT(1);
    u8 dpl = bits >> 5 & 3;

    if (!(bits & ATTR_S))
        return false;
    if (seg == SEG_CS)
        return code && (conforming ? dpl <= rpl : dpl == rpl);
    if (seg == SEG_SS)
        return !code && read_write && dpl == cpl && rpl == cpl;
    return (!code || read_write) && (conforming || dpl >= MAX(rpl, cpl));
}

static bool load_segment(struct task_switch *t, unsigned seg, u64 selector, u8 cpl)
{
    bool null = !(selector & ~SEL_RPL & 0xffff), needed = seg == SEG_CS || seg == SEG_SS;
    u64 linear, raw;

    if (null && !needed) {
        vmx_set_segment(NULL, seg, &(struct vcpu_segment){ .selector = (u16)selector });
        return true;
    }
    if (null || !locate(selector, &linear))
        return fault(t, VEC_TS, selector);
    if (!access(t, linear, &raw, sizeof(raw), false))
        return false;
    struct vcpu_segment d = unpack(selector, raw);
    if (!fits(seg, d.attrib, selector & SEL_RPL, cpl))
        return fault(t, VEC_TS, selector);
    if (!(d.attrib & ATTR_PRESENT))
        return fault(t, VEC_NP, selector);
    d.attrib |= 1; /* accessed */
    u8 type = (u8)d.attrib;
    if (!access(t, linear + 5, &type, 1, true))
        return false;
    vmx_set_segment(NULL, seg, &d);
    return true;
}

static bool load_segments(struct task_switch *t, const struct tss32 *new)
{
    static const u8 order[] = { SEG_CS, SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    u8 cpl = new->eflags &RFLAGS_VM ? 3 : new->selector[SEG_CS] & SEL_RPL;
    u64 linear, raw;

    vmx_set_segment(NULL, SEG_LDTR, &(struct vcpu_segment){ .selector = (u16) new->ldt });
    for (unsigned i = 0; i < 6; i++) {
        u64 selector = new->selector[i] & 0xffff;
        /* Consistent whatever fails below: of virtual-8086 mode, or flat with this privilege. */
        struct vcpu_segment d = { (u16)selector, 0xf3, 0xffff, selector << 4 };
        if (!(new->eflags &RFLAGS_VM))
            d = (struct vcpu_segment){ i == SEG_SS ? cpl : (u16)selector,
                                       (u16)((i == SEG_CS ? 0xc9b : 0xc93) | cpl << 5), ~0u, 0 };
        vmx_set_segment(NULL, i, &d);
    }
    if (new->ldt & ~SEL_RPL & 0xffff) {
        if (new->ldt & SEL_LOCAL || !locate(new->ldt & 0xffff, &linear))
            return fault(t, VEC_TS, new->ldt);
        if (!access(t, linear, &raw, sizeof(raw), false))
            return false;
        struct vcpu_segment d = unpack(new->ldt, raw);
        if ((d.attrib & (ATTR_TYPE | ATTR_S)) != TYPE_LDT || !(d.attrib & ATTR_PRESENT))
            return fault(t, VEC_TS, new->ldt);
        vmx_set_segment(NULL, SEG_LDTR, &d);
    }
    for (unsigned i = 0; i < sizeof(order) && !(new->eflags &RFLAGS_VM); i++)
        if (!load_segment(t, order[i], new->selector[order[i]] & 0xffff, cpl))
            return false;
    return true;
}

/* The new task's registers; what fails from here on is its own fault. */
static bool load_new(struct task_switch *t, const struct tss32 *new, struct vcpu_segment d)
{
    struct vcpu *v = t->vm->v;

    d.attrib |= 2; /* busy */
    vmx_set_segment(NULL, SEG_TR, &d);
    vmwrite(GUEST_CR0, vmread(GUEST_CR0) | CR0_TS);
    vmwrite(GUEST_DR7, vmread(GUEST_DR7) & ~(u64)DR7_LOCAL);
    vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) & ~(BLOCKED_STI | BLOCKED_MOVSS));
    v->rip = new->eip;
    v->rflags = (new->eflags &RFLAGS_VALID) | RFLAGS_FIXED;
    for (unsigned i = 0; i < 8; i++)
        v->gpr[i] = new->gpr[i];
    return load_cr3(t, new->cr3) && load_segments(t, new);
}

static bool push_code(struct task_switch *t, u32 code)
{
    struct vcpu *v = t->vm->v;

    v->gpr[RSP] = (u32)(v->gpr[RSP] - 4);
    return access(t, vmread(GUEST_BASE + 2 * SEG_SS) + v->gpr[RSP], &code, sizeof(code), true);
}

void vmx_task_switch(struct vmx_vcpu *vm)
{
    unsigned source = (unsigned)field_get(vm->qualification, Q_SOURCE);
    u64 selector = field_get(vm->qualification, Q_SELECTOR), old = vmread(GUEST_SELECTOR + 2 * VMCS_TR);
    u64 event = vm->v->event;
    struct task_switch t = { .vm = vm };
    u64 linear, raw;
    struct tss32 new;

    vcpu_get_mode(vm->v, &t.mode);
    t.mode.cpl = 0;
    vm->v->event = 0; /* the switch is the delivery */
    if (selector & SEL_LOCAL || !locate(selector, &linear)) {
        fault(&t, VEC_TS, selector);
        return;
    }
    if (!access(&t, linear, &raw, sizeof(raw), false))
        return;
    struct vcpu_segment d = unpack(selector, raw);
    u32 want = source == FROM_IRET ? TSS_BUSY : TSS_AVAILABLE;
    if ((d.attrib & (ATTR_TYPE | ATTR_S)) != want || d.limit < sizeof(new) - 1) {
        fault(&t, VEC_TS, selector);
        return;
    }
    if (!(d.attrib & ATTR_PRESENT)) {
        fault(&t, VEC_NP, selector);
        return;
    }
    if (!access(&t, d.base, &new, sizeof(new), false) || !save_old(&t, source))
        return;
    if (source == FROM_IRET || source == FROM_JMP)
        (void)!set_busy(&t, old, false);
    if (source != FROM_IRET)
        (void)!set_busy(&t, selector, true);
    if (source == FROM_CALL || source == FROM_GATE) {
        u32 link = (u32)old;
        if (!access(&t, d.base, &link, 2, true))
            return;
        new.eflags |= RFLAGS_NT;
    }
    if (event && field_get(event, EVENT_TYPE) == EVENT_NMI)
        vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) | BLOCKED_NMI);
    if (!load_new(&t, &new, d))
        return;
    if (event & EVENT_HAS_CODE)
        (void)!push_code(&t, (u32)field_get(event, EVENT_CODE));
}
