/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Nothing is announced that no test uses. Each bit that a virtual unit may show stands here with the test
 * that would miss it; a bit that is shown and has no line, a line whose bit is never shown, a test that is
 * not there, and one that does not look for a bit are failures.
 */
#include "tests/unit/world_test.h"

struct bit {
    const char *name;
    u64 mask;
    const char *file, *test; /* of tests/unit/test_FILE.c */
};

static const struct bit cap_bits[] = {
    { "ND", 7ull, "iommu_context", "hostile_35_few_domain_ids" },
    { "CM", C_CM, "iommu_devtlb", "hostile_14_driver_believes_caching_mode" },
    { "SAGAW, 3 levels", C_SAGAW(2), "iommu_shadow", "hostile_28_superpages" },
    { "SAGAW, 4 levels", C_SAGAW(4), "iommu_shadow", "hostile_28_superpages" },
    { "SAGAW, 5 levels", C_SAGAW(8), "iommu_pasids", "five_levels" },
    { "MGAW", 0x3full << 16, "iommu_shadow", "hostile_28_superpages" },
    { "ZLR", 1ull << 22, "iommu_shadow", "snooping_and_reads_of_nothing" },
    { "FRO", 0x3ffull << 24, "iommu_regs", "hostile_34_fault_reaches_the_guest" },
    { "SLLPS, 2 MiB", 1ull << 34, "iommu_shadow", "hostile_28_superpages_change" },
    { "SLLPS, 1 GiB", 2ull << 34, "iommu_shadow", "hostile_28_superpages" },
    { "PSI", C_PSI, "iommu_shadow", "ranges_of_every_size" },
    { "NFR", 0xffull << 40, "iommu_regs", "hostile_34_records_are_a_ring" },
    { "MAMV", 0x3full << 48, "iommu_shadow", "ranges_of_every_size" },
    { "DWD, DRD", C_DRAIN, "iommu_shadow", "requests_under_way_are_drained" },
    { "FS1GP", C_FS1GP, "iommu_pasids", "large_pages_of_the_first_stage" },
    { "FS5LP", 1ull << 60, "iommu_pasids", "five_levels" },
};

static const struct bit ecap_bits[] = {
    { "C", E_C, "iommu_shadow", "ranges_of_every_size" },
    { "QI", E_QI, "iommu_queue", "hostile_02_every_size" },
    { "DT", E_DT, "iommu_devtlb", "hostile_14_flushed_together_in_either_order" },
    { "IR", E_IR, "iommu_ir", "the_guests_entries_count" },
    { "EIM", E_EIM, "iommu_ir", "the_guests_entries_count" },
    { "PT", E_PT, "iommu_first", "pass_through_without_second_stage" },
    { "SC", E_SC, "iommu_shadow", "snooping_and_reads_of_nothing" },
    { "IRO", 0x3ffull << 8, "iommu_regs", "hostile_27_register_based_invalidation" },
    { "MHMV", E_MHMV, "iommu_ir", "flushes_of_every_width" },
    { "PRS", 1ull << 29, "iommu_prq", "requests_and_responses" },
    { "PSS", 31ull << 35, "iommu_pasids", "faults_of_pasids" },
    { "PASID", E_PASID, "iommu_pasids", "flush_of_one_pasid" },
    { "PDS", 1ull << 42, "iommu_prq", "a_wait_drains" },
    { "SMTS", E_SMTS, "iommu_pasids", "flush_of_one_pasid" },
    { "SSTS", E_SSTS, "iommu_pasids", "one_page_two_stages" },
    { "FSTS", E_FSTS, "iommu_first", "page_in_pasid" },
    { "SMPWCS", E_SMPWC, "iommu_pasids", "flush_of_one_pasid" },
    { "RPS", E_RPS, "iommu_pasids", "rid_pasid" },
    { "the hint", 1ull << 63, "iommu_regs", "the_hint_is_a_bit" },
};

/* Every bit that has a name, and then every other one too: a newer unit may have them all. */
#define CAP_ALL \
    (~0ull & ~(7ull | 0x1full << 8 | 0x3full << 16 | 0x3ffull << 24 | 0xffull << 40 | 0x3full << 48))
#define CAP_MOST (CAP_ALL | C_ND(2) | C_SAGAW(0xe) | 56ull << 16 | 0x40ull << 24 | C_NFR(8) | C_MAMV(18))
#define ECAP_ALL (~0ull & ~(0x3ffull << 8 | 1ull << 63))

static const struct world_cfg hosts[] = {
    { .cap = CAP_DEFAULT, .ecap = ECAP_DEFAULT },
    { .cap = CAP_MOST, .ecap = ECAP_ALL | E_BASE },
    { .cap = CAP_MOST, .ecap = (ECAP_ALL & ~(E_NEST | E_FSTS)) | E_BASE }, /* second stage alone */
    { .cap = CAP_MOST, .ecap = (ECAP_ALL & ~E_NEST) | E_BASE },
    { .cap = CAP_MOST, .ecap = (ECAP_ALL & ~E_NEST) | E_BASE, .direct = true },
    { .cap = CAP_MOST, .ecap = (ECAP_ALL & ~E_SSTS) | E_BASE, .direct = true },
    { .cap = CAP_MOST, .ecap = (ECAP_ALL & ~E_SSTS) | E_BASE, .direct = true, .no_caching_mode = true },
    { .cap = CAP_MOST, .ecap = ECAP_ALL | E_BASE, .strict = true },
    { .cap = CAP_MOST, .ecap = ECAP_DEFAULT, .dtlb_hint = 63 },
};

static void all_are_known(const struct bit *bits, unsigned n, u32 reg)
{
    u64 seen = 0;

    for (unsigned h = 0; h < ARRAY_SIZE(hosts); h++) {
        struct world_cfg cfg = hosts[h];
        u64 left;

        cfg.wait_us = 100;
        cfg.ats = ATS_ALL;
        cfg.quiet = true;
        start(&cfg);
        left = guest_read(0, reg, 8);
        seen |= left;
        for (unsigned i = 0; i < n; i++)
            left &= ~bits[i].mask;
        if (left)
            fail_msg("host %u: register %x shows %llx, which no test uses", h, reg, (unsigned long long)left);
    }
    for (unsigned i = 0; i < n; i++)
        if (!(seen & bits[i].mask))
            fail_msg("%s is never shown", bits[i].name);
}

static void tests_are_there(const struct bit *bits, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char name[128], line[256];
        bool found = false, asks = false;
        FILE *f;

        snprintf(name, sizeof(name), "tests/unit/test_%s.c", bits[i].file);
        f = fopen(name, "r");
        if (!f)
            fail_msg("%s of %s cannot be read", name, bits[i].name);
        snprintf(name, sizeof(name), "static void %s(void **s", bits[i].test);
        while (!found && fgets(line, sizeof(line), f))
            found = !strncmp(line, name, strlen(name));
        while (found && !asks && fgets(line, sizeof(line), f) && line[0] != '}')
            asks = strstr(line, " announced(");
        fclose(f);
        if (!found)
            fail_msg("%s: no test %s in test_%s.c", bits[i].name, bits[i].test, bits[i].file);
        if (!asks)
            fail_msg("%s: %s does not ask whether it is announced", bits[i].name, bits[i].test);
    }
}

static void each_announced_bit_has_a_test(void **state)
{
    (void)state;
    all_are_known(cap_bits, ARRAY_SIZE(cap_bits), 0x08);
    all_are_known(ecap_bits, ARRAY_SIZE(ecap_bits), 0x10);
    tests_are_there(cap_bits, ARRAY_SIZE(cap_bits));
    tests_are_there(ecap_bits, ARRAY_SIZE(ecap_bits));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_announced_bit_has_a_test),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
