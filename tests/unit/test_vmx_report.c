/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: arch/fmt.c */
/*
 * Why a VM entry failed, in words: a guest state that the manual's checks accept is complained of in nothing,
 * and each single thing wrong with it is named, alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The VMCS is an array here. */
#define vmread  cpu_vmread
#define vmwrite cpu_vmwrite
#include "arch/vmx/vmcs.h"
#undef vmread
#undef vmwrite

static u64 vmcs[0x8000];

static u64 vmread(u64 field)
{
    return vmcs[field];
}

#include "arch/vmx/report.c"

struct vmx_caps vmx_caps = {
    .cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff, .cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x3767ff
};

static char said[4096];

void log_line(enum log_level level, const char *fmt, ...)
{
    size_t used = strlen(said);
    va_list args;

    (void)level;
    va_start(args, fmt);
    fmt_vstring(said + used, sizeof(said) - used - 1, fmt, args);
    va_end(args);
    strcat(said, "\n");
}

void __noreturn vmwrite_failed(u64 field, u64 value)
{
    fail_msg("field %llx value %llx", (unsigned long long)field, (unsigned long long)value);
    abort();
}

/* 64-bit code in supervisor mode. */
static void good(void)
{
    memset(vmcs, 0, sizeof(vmcs));
    for (unsigned i = 0; i < NR_VMCS_SEG; i++) {
        vmcs[GUEST_ACCESS + 2 * i] = 0xc093;
        vmcs[GUEST_LIMIT + 2 * i] = 0xffffffff;
    }
    vmcs[GUEST_ACCESS + 2 * SEG_CS] = 0xa09b;
    vmcs[GUEST_ACCESS + 2 * VMCS_TR] = 0x8b;
    vmcs[GUEST_LIMIT + 2 * VMCS_TR] = 0x67;
    vmcs[GUEST_ACCESS + 2 * VMCS_LDTR] = ACCESS_UNUSABLE;
    vmcs[GUEST_CR0] = 0x80000031;
    vmcs[GUEST_CR4] = 0x2020;
    vmcs[GUEST_EFER] = 0x500;
    vmcs[ENTRY_CONTROLS] = ENTRY_IA32E;
    vmcs[GUEST_RFLAGS] = 0x202;
    vmcs[GUEST_RIP] = 0xffffffff81000000;
    vmcs[LINK_POINTER] = ~0ull;
}

static void explain(int how, u32 reason)
{
    struct vmx_vcpu vm = { .reason = reason };

    said[0] = 0;
    vmx_explain_failure(&vm, how);
}

#define INJECT(type, vector) (EVENT_VALID | (type) << 8 | (vector))
#define CLEAR(field, bits) \
    {                      \
        {                  \
            field, bits, 0 \
        }                  \
    }
#define SET(field, bits)   \
    {                      \
        {                  \
            field, 0, bits \
        }                  \
    }

static const struct {
    struct {
        u32 field;
        u64 clear, set;
    } change[3];
    const char *text;
} cases[] = {
    { CLEAR(GUEST_CR0, 0x20), "CR0 must agree with the fixed bits" },
    { CLEAR(GUEST_CR0, 1), "CR0.PG needs CR0.PE" },
    { SET(GUEST_CR0, BIT(32)), "CR0 must agree with the fixed bits" },
    { CLEAR(GUEST_CR4, 0x2000), "CR4 must agree with the fixed bits" },
    { SET(GUEST_CR4, BIT(30)), "CR4 must agree with the fixed bits" },
    { CLEAR(GUEST_CR4, 0x20), "an IA-32e guest needs CR0.PG and CR4.PAE" },
    { { { GUEST_EFER, 0x500, 0 } }, "EFER.LMA must equal 'IA-32e mode guest'" },
    { CLEAR(GUEST_EFER, 0x100), "EFER.LMA must equal EFER.LME while paging" },
    { CLEAR(GUEST_RFLAGS, 2), "RFLAGS bit 1 must be 1" },
    { SET(GUEST_RFLAGS, BIT(17)), "RFLAGS.VM needs protected mode without IA-32e" },
    { { { GUEST_RFLAGS, 0x200, 0 }, { ENTRY_EVENT, 0, INJECT(EVENT_INTERRUPT, 0x30) } },
      "an external interrupt is injected while RFLAGS.IF is 0" },
    { { { GUEST_ACCESS + 2 * SEG_CS, 0x2000, 0 } }, "RIP has bits above 31 outside 64-bit code" },
    { SET(GUEST_ACCESS + 2 * SEG_CS, BIT(14)), "CS has both L and D" },
    { SET(GUEST_ACTIVITY, 4), "unknown activity state" },
    { { { GUEST_ACTIVITY, 0, ACTIVITY_HLT }, { GUEST_ACCESS + 2 * SEG_SS, 0, 0x60 } },
      "HLT with SS.DPL not 0" },
    { { { GUEST_ACTIVITY, 0, ACTIVITY_HLT }, { GUEST_INTERRUPTIBILITY, 0, BLOCKED_STI } },
      "an interrupt shadow with a CPU that is not active" },
    { SET(GUEST_INTERRUPTIBILITY, BLOCKED_STI | BLOCKED_MOVSS), "blocking by STI and by MOV SS at once" },
    { { { GUEST_INTERRUPTIBILITY, 0, BLOCKED_STI }, { GUEST_RFLAGS, 0x200, 0 } },
      "blocking by STI while RFLAGS.IF is 0" },
    { { { GUEST_INTERRUPTIBILITY, 0, BLOCKED_STI }, { ENTRY_EVENT, 0, INJECT(EVENT_INTERRUPT, 0x30) } },
      "an interrupt is injected into a shadow" },
    { { { GUEST_INTERRUPTIBILITY, 0, BLOCKED_NMI }, { ENTRY_EVENT, 0, INJECT(EVENT_NMI, 2) } },
      "an NMI is injected while NMIs are blocked" },
    { { { GUEST_INTERRUPTIBILITY, 0, BLOCKED_MOVSS }, { GUEST_RFLAGS, 0, 0x100 } },
      "a pending single step must be told in a shadow" },
    { { { LINK_POINTER, 1, 0 } }, "the VMCS link pointer must be all ones" },
    { SET(GUEST_ACCESS + 2 * SEG_CS, ACCESS_UNUSABLE), "CS must be usable" },
    { SET(GUEST_ACCESS + 2 * VMCS_TR, ACCESS_UNUSABLE), "TR must be usable" },
    { CLEAR(GUEST_ACCESS + 2 * SEG_DS, 0x80), "DS must be present" },
    { CLEAR(GUEST_ACCESS + 2 * SEG_ES, 0x10), "ES has the wrong S bit" },
    { SET(GUEST_ACCESS + 2 * VMCS_TR, 0x10), "TR has the wrong S bit" },
    { CLEAR(GUEST_ACCESS + 2 * VMCS_TR, 2), "TR must be a busy TSS" },
    { CLEAR(GUEST_ACCESS + 2 * SEG_CS, 1), "CS must be accessed" },
    { CLEAR(GUEST_LIMIT + 2 * SEG_FS, 1), "FS has G with a limit not ending in fff" },
    { CLEAR(GUEST_ACCESS + 2 * SEG_GS, BIT(15)), "GS has a limit above 1 MiB without G" },
    { SET(GUEST_ACCESS + 2 * SEG_SS, BIT(8)), "SS has reserved access bits" },
};

static void test_nothing_wrong(void **state)
{
    (void)state;
    good();
    explain(0, REASON_GUEST_STATE | REASON_ENTRY_FAILED);
    assert_string_equal(said, "VM entry failed: invalid guest state, qualification 0\n");
}

static void test_each_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char want[256];

        good();
        for (unsigned j = 0; j < ARRAY_SIZE(cases[i].change); j++) {
            u64 *field = &vmcs[cases[i].change[j].field];

            *field = (*field & ~cases[i].change[j].clear) | cases[i].change[j].set;
        }
        explain(0, REASON_GUEST_STATE | REASON_ENTRY_FAILED);
        snprintf(want, sizeof(want),
                 "VM entry failed: invalid guest state, qualification 0\n  failed check: %s\n",
                 cases[i].text);
        if (strcmp(said, want))
            fail_msg("for '%s' it said:\n%s", cases[i].text, said);
    }
}

static void test_the_instruction_itself(void **state)
{
    (void)state;
    good();
    vmcs[INSTRUCTION_ERROR] = 7;
    explain(ENTER_FAIL_VALID, 0);
    assert_non_null(strstr(said, "error 7, invalid control fields\n  controls: pin 0"));
    explain(ENTER_FAIL_INVALID, 0);
    assert_non_null(strstr(said, "no current VMCS"));
    explain(0, REASON_ENTRY_MCE | REASON_ENTRY_FAILED);
    assert_non_null(strstr(said, "machine check during the entry"));
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(vmx_reason_name(REASON_EPT_MISCONFIG | REASON_ENTRY_FAILED), "EPT misconfiguration");
    assert_string_equal(vmx_reason_name(35), "unknown");
    assert_string_equal(vmx_reason_name(0xffff), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_wrong),
        cmocka_unit_test(test_each_check),
        cmocka_unit_test(test_the_instruction_itself),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
