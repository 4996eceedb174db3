/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What SVM and VMX leave to software in the same way.
 */
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/vcpu.h"

#define MSR_TSC_ADJUST 0x3bu

void vcpu_trap(u8 *map, u32 bit, bool on)
{
    u8 mask = (u8)(1 << (bit % 8));

    if (on)
        __atomic_fetch_or(&map[bit / 8], mask, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&map[bit / 8], (u8)~mask, __ATOMIC_RELAXED);
}

static bool pat_valid(u64 value)
{
    for (unsigned i = 0; i < 64; i += 8)
        if ((value >> i & 0xff) > 7 || (value >> i & 0xfe) == 2)
            return false;
    return true;
}

static bool is_contributory(u8 vector)
{
    return vector == VEC_DE || (vector >= VEC_TS && vector <= VEC_GP);
}

/* Does the second, raised by the delivery of the first, make a double fault (APM 2, 8.2.9; SDM 3A, table
 * 6-5)? */
static bool double_fault(u8 first, u8 second)
{
    return (is_contributory(first) && is_contributory(second)) ||
           (first == VEC_PF && (second == VEC_PF || is_contributory(second)));
}

void vcpu_inject_exception(struct vcpu *v, u8 vector, bool has_code, u32 code)
{
    u64 event = EVENT_VALID | EVENT_HARD << 8 | vector;
    u64 type = field_get(v->event, EVENT_TYPE);
    u8 first = (u8)(v->event & EVENT_VECTOR);

    if (has_code)
        event |= EVENT_HAS_CODE | field_prep(EVENT_CODE, code);
    if (v->event && type == EVENT_NMI)
        v->nmi_pending = true;
    else if (v->event && type == EVENT_HARD && first == VEC_DF)
        v->shutdown = true;
    else if (v->event && type == EVENT_HARD && double_fault(first, vector))
        event = EVENT_VALID | EVENT_HAS_CODE | EVENT_HARD << 8 | VEC_DF;
    v->event = event;
    v->attention = true;
}

void vcpu_inject_page_fault(struct vcpu *v, u64 cr2, u32 code)
{
    vcpu_ops->set(v, REG_CR2, cr2);
    vcpu_inject_exception(v, VEC_PF, true, code);
}

void vcpu_inject_nmi(struct vcpu *v)
{
    v->nmi_pending = v->attention = true;
}

#define ATTR_LONG BIT(9)

void vcpu_start(struct vcpu *v, const struct vcpu_start *start)
{
    /* Attributes: 9b is code and 93 data; with a00 64 bits wide, with c00 32, and up to 4 GiB. */
    static const struct values {
        u64 cr0, cr4, efer;
        struct vcpu_segment code, data;
    } modes[] = {
        [START_REAL] = { CR0_CD | CR0_NW | CR0_ET, 0, 0, { 0, 0x09b, 0xffff, 0 }, { 0, 0x093, 0xffff, 0 } },
        [START_PROT32] = { CR0_PE | CR0_ET, 0, 0, { 0x08, 0xc9b, ~0u, 0 }, { 0x10, 0xc93, ~0u, 0 } },
        [START_LONG64] = { CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG,
                           CR4_PAE,
                           EFER_LME | EFER_LMA,
                           { 0x10, 0xa9b, ~0u, 0 },
                           { 0x18, 0xc93, ~0u, 0 } },
    };
    const struct values *mode = &modes[start->mode];
    bool real = start->mode == START_REAL;
    struct vcpu_segment tables[NR_TABLES] = {
        [SEG_GDTR] = { .base = start->gdt_base, .limit = real ? 0xffff : start->gdt_limit },
        [SEG_LDTR] = { .attrib = 0x82, .limit = 0xffff },
        [SEG_IDTR] = { .limit = real ? 0xffff : 0 },
        [SEG_TR] = { .attrib = 0x8b, .limit = 0xffff }, /* busy */
    };

    for (unsigned i = 0; i < NR_SEG; i++)
        tables[i] = mode->data;
    tables[SEG_CS] = mode->code;
    if (real) {
        tables[SEG_CS].selector = (u16)(start->sipi_vector << 8);
        tables[SEG_CS].base = (u64)start->sipi_vector << 12;
    }
    __builtin_memcpy(v->gpr, start->gpr, sizeof(v->gpr));
    v->rip = real ? 0 : start->rip;
    v->rflags = RFLAGS_FIXED;
    v->event = 0;
    v->nmi_pending = v->shutdown = false;
    vcpu_ops->reset(v);
    vcpu_ops->set(v, REG_CR0, mode->cr0);
    vcpu_ops->set(v, REG_CR2, 0);
    vcpu_ops->set(v, REG_CR3, start->mode == START_LONG64 ? start->cr3 : 0);
    vcpu_ops->set(v, REG_CR4, mode->cr4);
    vcpu_ops->set(v, REG_EFER, mode->efer);
    vcpu_ops->set(v, REG_PAT, PAT_POWER_ON);
    for (unsigned i = 0; i < NR_TABLES; i++)
        vcpu_ops->set_segment(v, i, &tables[i]);
}

void vcpu_get_mode(struct vcpu *v, struct vcpu_mode *out)
{
    struct vcpu_segment cs;

    vcpu_ops->get_segment(v, SEG_CS, &cs);
    out->cr0 = vcpu_ops->get(v, REG_CR0);
    out->cr3 = vcpu_ops->get(v, REG_CR3);
    out->cr4 = vcpu_ops->get(v, REG_CR4);
    out->efer = vcpu_ops->get(v, REG_EFER);
    out->cs_attrib = cs.attrib;
    out->cs_base = (out->efer & EFER_LMA) && (cs.attrib & ATTR_LONG) ? 0 : cs.base;
    out->cpl = (u8)vcpu_ops->get(v, REG_CPL);
    out->v86 = v->rflags & RFLAGS_VM;
}

bool vcpu_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
    switch (msr) {
    case MSR_EFER:
    case MSR_PAT:
        *value = vcpu_ops->get(v, msr == MSR_EFER ? REG_EFER : REG_PAT);
        return true;
    case MSR_TSC:
        *value = rdtsc() + vcpu_ops->get(v, REG_TSC_OFFSET);
        return true;
    case MSR_TSC_ADJUST:
    case MSR_TSC_DEADLINE:
        if (!rdmsr_safe(msr, value))
            return false;
        if (*value || msr == MSR_TSC_ADJUST)
            *value += vcpu_ops->get(v, REG_TSC_OFFSET);
        return true;
    default:
        return false;
    }
}

bool vcpu_write_msr(struct vcpu *v, u32 msr, u64 value)
{
    u64 real = rdtsc();

    switch (msr) {
    case MSR_EFER: /* LMA follows LME and PG in the CPU */
        vcpu_ops->set(v, REG_EFER, (value & ~EFER_LMA) | (vcpu_ops->get(v, REG_EFER) & EFER_LMA));
        return true;
    case MSR_PAT:
        if (pat_valid(value))
            vcpu_ops->set(v, REG_PAT, value);
        return pat_valid(value);
    case MSR_TSC_DEADLINE:
        return wrmsr_safe(msr, value ? value - vcpu_ops->get(v, REG_TSC_OFFSET) : 0);
    case MSR_TSC_ADJUST:
        if (!rdmsr_safe(msr, &real))
            return false;
        break;
    case MSR_TSC:
        break;
    default:
        return false;
    }
    vcpu_ops->set(v, REG_TSC_OFFSET, value - real);
    /* The deadline timer counts by the real one. */
    if (value != real)
        vcpu_ops->pass_msr(MSR_TSC_DEADLINE, false, false);
    return true;
}

void vcpu_dump(struct vcpu *v)
{
    static const char *const rows[] = { "rax rcx rdx rbx", "rsp rbp rsi rdi", "r8  to r11", "r12 to r15" };
    static const char *const names[NR_TABLES] = { "es", "cs",  "ss",  "ds",  "fs",
                                                  "gs", "gdt", "ldt", "idt", "tr" };
    struct vcpu_segment s;
    struct vcpu_mode mode;

    vcpu_ops->dump(v);
    vcpu_get_mode(v, &mode);
    log_err("rip %016lx rflags %08lx cpl %u", v->rip, v->rflags, mode.cpl);
    log_err("cr0 %08lx cr2 %016lx cr3 %016lx cr4 %08lx efer %05lx", mode.cr0, vcpu_ops->get(v, REG_CR2),
            mode.cr3, mode.cr4, mode.efer);
    for (unsigned i = 0; i < NR_GPR; i += 4)
        log_err("%s %016lx %016lx %016lx %016lx", rows[i / 4], v->gpr[i], v->gpr[i + 1], v->gpr[i + 2],
                v->gpr[i + 3]);
    for (unsigned i = 0; i < NR_TABLES; i++) {
        vcpu_ops->get_segment(v, i, &s);
        log_err("%s %04x attributes %03x limit %08x base %016lx", names[i], s.selector, s.attrib, s.limit,
                s.base);
    }
}
