/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Programs against the oracle: by chance, and in a small world all of them.
 *
 *   SEED=n STEPS=n      runs that one program by chance (ERRORS=1: with silent devices; CLASS=n: with that
 *                       cache class forced to keep everything)
 *   PROGRAM=hex SEED=n  runs this program on the machine of that seed, as a failure prints it
 *   PROGRAM_SECONDS=n   for how long programs are drawn; DEPTH=n: how long sequences in the small world are
 */
#include <time.h>

#include "tests/unit/world_test.h"
#include "tests/world/program.h"

static struct op ops[MAX_OPS];

static u64 env_number(const char *name, u64 otherwise)
{
    const char *s = getenv(name);

    return s && *s ? strtoull(s, NULL, 0) : otherwise;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* a budget buys the same number on a busy machine */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const struct {
    enum model_class class;
    const char *name;
} classes[] = { { MODEL_C_ROOT, "root" },      { MODEL_C_CONTEXT, "context" },
                { MODEL_C_PASID, "PASID" },    { MODEL_C_PAGING, "paging-structure" },
                { MODEL_C_IOTLB, "IOTLB" },    { MODEL_C_IEC, "interrupt-entry" },
                { MODEL_C_DTLB, "device TLB" } };
static int forced; /* index of that class + 1, or 0 */

/* The machine of a seed. */
static void machine(struct world_cfg *cfg, u64 seed, bool errors)
{
    enum model_class class = classes[MAX(forced, 1) - 1].class;

    program_config(cfg, seed, errors);
    if (!forced)
        return;
    memset(cfg->keep, MODEL_KEEP_RANDOM, sizeof(cfg->keep));
    cfg->keep[class] = MODEL_KEEP_ALL;
    if (class == MODEL_C_ROOT)
        cfg->cap |= C_CM;
    if (class == MODEL_C_DTLB)
        cfg->ecap |= E_DT;
    if (class == MODEL_C_IEC && !(cfg->cap & C_RWBF))
        cfg->ecap |= E_IR;
    if (class == MODEL_C_PASID) {
        cfg->ecap |= E_SMTS | E_SSTS | E_SMPWC;
        cfg->cap &= ~C_RWBF;
        cfg->scalable = true;
    }
}

static void tell(const struct world_cfg *cfg, u64 seed, unsigned n, bool errors)
{
    char first[sizeof(W.fail)];

    memcpy(first, W.fail, sizeof(first));
    fprintf(stderr, "SEED=%llu STEPS=%u ERRORS=%d CLASS=%d: %s\n", (unsigned long long)seed, n, errors,
            forced, first);
    if (getenv("NOSHRINK"))
        fail_msg("%s", first);
    n = program_shrink(cfg, ops, n);
    program_run(cfg, ops, n);
    fprintf(stderr, "shrunk to %u operations (CAP %llx ECAP %llx pace %u wait %u units %u): %s\n", n,
            (unsigned long long)cfg->cap, (unsigned long long)cfg->ecap, cfg->pace, cfg->wait_us, cfg->units,
            W.fail);
    program_print(ops, n);
    fail_msg("%s", W.fail[0] ? W.fail : first);
}

static void one_program(u64 seed, unsigned steps, bool errors)
{
    struct world_cfg cfg;

    machine(&cfg, seed, errors);
    program_draw(ops, steps, seed, &cfg, errors);
    if (!program_run(&cfg, ops, steps))
        tell(&cfg, seed, steps, errors);
}

static unsigned parse(const char *hex)
{
    unsigned n = 0, byte[4];

    for (; n < MAX_OPS && sscanf(hex, "%2x%2x%2x%2x", &byte[0], &byte[1], &byte[2], &byte[3]) == 4; hex += 8)
        ops[n++] = (struct op){ (u8)byte[0], (u8)byte[1], (u8)byte[2], (u8)byte[3] };
    return n;
}

static void replayed(unsigned n)
{
    fprintf(stderr, "%u operations: %s\n", n, W.fail[0] ? W.fail : "nothing wrong");
    if (!world_ok())
        fail_msg("%s", W.fail);
}

static void replay(const char *hex, u64 seed)
{
    struct world_cfg cfg;
    unsigned n = parse(hex);

    machine(&cfg, seed, env_number("ERRORS", 0));
    program_run(&cfg, ops, n);
    replayed(n);
}

static void by_chance(bool errors)
{
    unsigned steps = (unsigned)env_number("STEPS", 300), n = 0;
    double end = now() + (double)env_number("PROGRAM_SECONDS", 15);
    u64 before = world_totals.submissions, seed = env_number("FIRST", 1);

    forced = (int)(env_number("CLASS", 0) % (ARRAY_SIZE(classes) + 1));

    if (getenv("WORLD")) /* of a small one */
        return;
    if (getenv("PROGRAM")) {
        replay(getenv("PROGRAM"), env_number("SEED", 1));
        return;
    }
    if (getenv("SEED")) {
        one_program(env_number("SEED", 1), steps, env_number("ERRORS", errors));
        return;
    }
    for (; now() < end; n++)
        one_program(seed++, steps, errors);
    print_message("# %u programs of %u steps, %llu submissions, %llu pages judged, %llu times unsure\n", n,
                  steps, (unsigned long long)(world_totals.submissions - before),
                  (unsigned long long)world_totals.checks, (unsigned long long)world_totals.unsure);
}

static void programs_by_chance(void **state)
{
    (void)state;
    by_chance(false);
}

static void programs_with_silent_devices(void **state)
{
    (void)state;
    by_chance(true);
}

/* --- every cache class is forced to keep everything: would it have mattered? --- */

static void each_cache_is_put_to_the_test(void **state)
{
    (void)state;
    for (unsigned k = 0; k < ARRAY_SIZE(classes); k++) {
        const struct model_counts *c = &world_totals.c[classes[k].class];
        u64 would = c->would, saved = c->saved, n = env_number("CLASS_PROGRAMS", 60);

        forced = (int)k + 1;
        for (u64 seed = 1; seed <= n; seed++)
            one_program(seed, 300, false);
        print_message("# %s: %llu stale entries flushed in time, %llu would have been used\n",
                      classes[k].name, (unsigned long long)(c->saved - saved),
                      (unsigned long long)(c->would - would));
        assert_true(c->would > would);
    }
    forced = 0;
}

/* --- the oracle has power: the unsafe policy is found --- */

static void an_unsafe_policy_is_found(void **state)
{
    unsigned found = 0;

    (void)state;
    for (u64 seed = 1; seed <= 100; seed++) {
        struct world_cfg cfg;

        program_config(&cfg, seed, false);
        cfg.ecap |= E_DT;
        cfg.ats = ATS_ALL;
        cfg.dtlb = DTLB_GUEST;
        program_draw(ops, 300, seed, &cfg, false);
        if (!program_run(&cfg, ops, 300)) {
            assert_non_null(strstr(W.fail, "stale") ? W.fail
                            : strstr(W.fail, "DMA") ? W.fail
                                                    : strstr(W.fail, "not "));
            found++;
        }
    }
    print_message("# dtlb=guest is caught by %u programs of 100\n", found);
    assert_true(found > 30);
}

/* --- the three behaviours of drivers that the device-TLB question is about, in every mode --- */

enum driver {
    BELIEVES_CACHING_MODE,
    IOTLB_FIRST,
    DTLB_FIRST,
    IOTLB_SUBMITTED_FIRST,
    DTLB_SUBMITTED_FIRST,
    DRIVERS
};

/* A page is mapped, used by a device with a device TLB, and unmapped in this driver's manner. */
static bool unmap_in_use(const struct world_cfg *cfg, u8 d, enum driver driver)
{
    const struct op iotlb = d < 4 ? (struct op){ OP_INV_PAGE, d, 0, 0 } : (struct op){ OP_PIOTLB, d, 0, 4 };
    const struct op dtlb = { OP_DTLB, 1, 0, 0 }, wait = { OP_WAIT, 0, 0, 0 };
    unsigned n = 0;

    ops[n++] = (struct op){ OP_ATS, 1, 1, 0 };
    ops[n++] = (struct op){ OP_MAP, d, 0, 3 };
    ops[n++] = (struct op){ OP_ATTACH, 1, d, 1 };
    ops[n++] = (struct op){ OP_CTX_GLOBAL, 0, 0, 0 };
    ops[n++] = (struct op){ OP_PC, 0, 0, 0 };
    ops[n++] = (struct op){ OP_INV_GLOBAL, 0, 0, 0 };
    ops[n++] = wait;
    ops[n++] = (struct op){ OP_TIME, 200, 0, 0 };
    ops[n++] = (struct op){ OP_FILL, 0, 0, 0 };
    ops[n++] = (struct op){ OP_BEGIN, 1, 0, 1 };
    ops[n++] = (struct op){ OP_UNMAP, d, 0, 0 };
    if (driver == DTLB_FIRST || driver == DTLB_SUBMITTED_FIRST)
        ops[n++] = dtlb;
    if (driver == DTLB_SUBMITTED_FIRST)
        ops[n++] = wait;
    ops[n++] = iotlb;
    if (driver == IOTLB_SUBMITTED_FIRST)
        ops[n++] = wait;
    if (driver == IOTLB_FIRST || driver == IOTLB_SUBMITTED_FIRST)
        ops[n++] = dtlb;
    ops[n++] = wait;
    return program_run(cfg, ops, n);
}

static void three_behaviours_of_drivers(void **state)
{
    static const struct {
        u64 ecap;
        bool scalable;
        u8 domain; /* 4: a first-stage table, to which caching mode does not apply */
    } modes[] = {
        { ECAP_DEFAULT, false, 0 },
        { ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC, true, 0 },
        { ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC | E_FSTS | E_NEST | E_PASID | E_PSS, true, 4 },
    };

    (void)state;
    for (unsigned m = 0; m < ARRAY_SIZE(modes); m++)
        for (unsigned k = 0; k < 12; k++) {
            struct world_cfg cfg = { .ecap = modes[m].ecap,
                                     .scalable = modes[m].scalable,
                                     .cap = CAP_DEFAULT | (k & 1 ? C_CM : 0),
                                     .wait_us = k & 2 ? 100 : 0,
                                     .pace = (u8)(k / 4),
                                     .ats = ATS_ALL };

            for (enum driver driver = 0; driver < DRIVERS; driver++)
                if (!unmap_in_use(&cfg, modes[m].domain, driver))
                    fail_msg("mode %u machine %u driver %d: %s", m, k, (int)driver, W.fail);
            assert_true(modes[m].domain < G.nr_domains);
            /* ... and the first of them is one that needs the promise. */
            cfg.dtlb = DTLB_GUEST;
            assert_false(unmap_in_use(&cfg, modes[m].domain, BELIEVES_CACHING_MODE));
        }
}

/* --- all of them, in a small world --- */

struct choice {
    const struct op *op;
    unsigned nr;
};

static const struct op legacy_ops[] = {
    { OP_MAP, 0, 0, 1 },        { OP_MAP, 0, 0, 2 },        { OP_UNMAP, 0, 0, 0 },
    { OP_DROP, 0, 0, 0 },       { OP_ATTACH, 1, 0, 1 },     { OP_ATTACH, 1, 1, 1 },
    { OP_DETACH, 1, 0, 0 },     { OP_INV_PAGE, 0, 0, 0 },   { OP_INV_DOMAIN, 0, 0, 0 },
    { OP_INV_GLOBAL, 0, 0, 0 }, { OP_CTX_DEVICE, 1, 0, 0 }, { OP_DTLB, 1, 0, 1 },
    { OP_SWITCH, 0, 0, 0 },
};
static const struct op scalable_ops[] = {
    { OP_MAP, 0, 0, 1 },        { OP_UNMAP, 0, 0, 0 },     { OP_PENTRY, 1, 1, 0 },
    { OP_PENTRY, 1, 7, 0 },     { OP_PENTRY, 1, 0, 4 },    { OP_DIRECTORY, 1, 0, 0 },
    { OP_DIRECTORY, 1, 1, 1 },  { OP_DIRECTORY, 1, 2, 1 }, { OP_INV_DOMAIN, 0, 0, 0 },
    { OP_CTX_DEVICE, 1, 0, 0 }, { OP_PC, 0, 0, 2 },        { OP_PC, 0, 0, 0 },
    { OP_DTLB, 1, 0, 1 },
};
static const struct op interrupt_ops[] = {
    { OP_IRTE, 0, 6, 1 },    { OP_IRTE, 0, 6, 2 },    { OP_IRTE, 0, 0, 0 },    { OP_IRTE, 0, 1, 0 },
    { OP_IRTE, 1, 4, 1 },    { OP_INV_IEC, 0, 0, 0 }, { OP_INV_IEC, 1, 0, 0 }, { OP_INV_IEC, 0, 1, 0 },
    { OP_INV_IEC, 0, 0, 1 }, { OP_REMAP, 0, 0, 0 },   { OP_MSI, 1, 0, 0 },
};
/* Domains 4 and 5 have first-stage tables. Of the function's PASIDs one is that of its plain requests. */
static const struct op first_ops[] = {
    { OP_MAP, 4, 0, 1 },    { OP_UNMAP, 4, 0, 0 },  { OP_DROP, 4, 0, 0 },       { OP_PENTRY, 1, 4, 0 },
    { OP_PENTRY, 1, 5, 0 }, { OP_PENTRY, 1, 4, 1 }, { OP_PENTRY, 1, 7, 1 },     { OP_DIRECTORY, 1, 2, 1 },
    { OP_PIOTLB, 4, 0, 4 }, { OP_PIOTLB, 4, 0, 1 }, { OP_INV_DOMAIN, 4, 0, 0 }, { OP_PC, 4, 0, 2 },
    { OP_PC, 4, 1, 2 },     { OP_PC, 0, 0, 0 },     { OP_PDTLB, 1, 0, 5 },
};
static const struct op page_ops[] = {
    { OP_PAGE, 1, 0, 0x10 },   { OP_PAGE, 1, 0, 0x81 },   { OP_PAGE, 1, 1, 0x90 },    { OP_SERVE, 0, 0, 1 },
    { OP_SERVE, 0, 0, 2 },     { OP_RESPONSE, 0, 0, 31 }, { OP_RESPONSE, 1, 1, 31 },  { OP_WAIT, 1, 0, 0 },
    { OP_DIRECTORY, 1, 1, 1 }, { OP_DIRECTORY, 1, 1, 3 }, { OP_CTX_DEVICE, 1, 0, 0 }, { OP_ATS, 1, 0, 0 },
    { OP_ATS, 1, 1, 0 },       { OP_RESET, 1, 0, 0 },     { OP_HOLD, 0, 1, 0 },
};
static bool one_did; /* first-stage tables share a domain-id, as those of processes do */
static struct choice choice;
static struct snapshot level[16];
static u64 sequences;
static unsigned worlds; /* so far */

/* Worst case: whatever may be cached is, before and after every step; and DMA is under way. */
static void settled_step(unsigned at)
{
    static const struct op fill = { OP_FILL, 0, 0, 0 }, wait = { OP_WAIT, 0, 0, 0 },
                           time = { OP_TIME, 2, 0, 0 };
    const struct op *op = &ops[at];
    u64 seed = 1;

    /* Chance depends on nothing but the sequence, and each sequence has its own. */
    for (unsigned i = 0; i <= at; i++)
        seed = (seed ^ (ops[i].kind | (u32)ops[i].a << 8 | (u32)ops[i].b << 16 | (u32)ops[i].c << 24)) *
               0x100000001b3;
    for (unsigned u = 0; u < W.cfg.units; u++)
        model_seed(W.unit[u], seed);
    program_step(op);
    program_step(&fill);
    if ((op->kind >= OP_INV_PAGE && op->kind <= OP_DTLB) || (op->kind >= OP_PC && op->kind <= OP_PDTLB) ||
        op->kind == OP_INV_IEC)
        program_step(&wait);
    if (W.cfg.pace != MODEL_PACE_AT_ONCE)
        program_step(&time);
}

static void all_of(unsigned at, unsigned left)
{
    snapshot_save(&level[at]);
    for (unsigned i = 0; i < choice.nr && world_ok(); i++) {
        ops[at] = choice.op[i];
        settled_step(at);
        sequences++;
        if (world_ok() && left > 1) {
            all_of(at + 1, left - 1);
            if (!world_ok())
                return;
        } else if (world_ok()) {
            program_end();
        }
        if (!world_ok()) {
            fprintf(stderr, "WORLD=%u: a sequence of the small world fails: %s\n", worlds, W.fail);
            program_print(ops, at + 1);
            return;
        }
        snapshot_load(&level[at]);
    }
}

static void small_world(const struct world_cfg *like, const struct op *of, unsigned nr, unsigned steps)
{
    const u8 d = like->ecap & E_FSTS ? 4 : 0;
    const struct op prepare[] = { { OP_REMAP, 0, 0, 0 },      { OP_ATS, 1, 1, 0 },
                                  { OP_MAP, d + 1, 0, 3 },    { OP_PC, 0, 0, 0 },
                                  { OP_MAP, d, 1, 4 },        { OP_ATTACH, 0, d, 0 },
                                  { OP_ATTACH, 1, d, 1 },     { d ? OP_PENTRY : OP_FILL, 1, d + 1, 1 },
                                  { OP_CTX_GLOBAL, 0, 0, 0 }, { OP_INV_GLOBAL, 0, 0, 0 },
                                  { OP_WAIT, 0, 0, 0 },       { OP_TIME, 200, 0, 0 },
                                  { OP_FILL, 0, 0, 0 } };
    struct world_cfg cfg = *like;
    double start_time = now();

    choice = (struct choice){ of, nr };
    cfg.ats = ATS_ALL;
    cfg.nr_fns = 2;
    cfg.fn[0] = (struct world_fn_cfg){ SID_PLAIN, 0, false, 0 };
    cfg.fn[1] = (struct world_fn_cfg){ SID_ATS, 0, true, 0 };
    assert_true(program_begin(&cfg, d + 2, 2));
    if (one_did)
        G.dom[d + 1].did = G.dom[d].did;
    /* both functions in the first domain, one page mapped, everything settled and cached */
    for (unsigned i = 0; i < ARRAY_SIZE(prepare); i++)
        program_step(&prepare[i]);
    worlds++;
    if (getenv("WORLD")) { /* what a failure has printed, once more */
        unsigned n = env_number("WORLD", 0) == worlds ? parse(getenv("PROGRAM")) : 0;

        for (unsigned i = 0; i < n && world_ok(); i++)
            settled_step(i);
        if (n && world_ok())
            program_end();
        replayed(n);
        return;
    }
    sequences = 0;
    all_of(0, steps);
    print_message("# %llu sequences of up to %u steps out of %u in %.1f s\n", (unsigned long long)sequences,
                  steps, nr, now() - start_time);
    if (!world_ok())
        fail_msg("%s", W.fail);
}

#define LEGACY     legacy_ops, ARRAY_SIZE(legacy_ops)
#define SCALABLE   scalable_ops, ARRAY_SIZE(scalable_ops)
#define INTERRUPTS interrupt_ops, ARRAY_SIZE(interrupt_ops)
#define FIRST      first_ops, ARRAY_SIZE(first_ops)
#define REQUESTS   page_ops, ARRAY_SIZE(page_ops)
#define ECAP_SM    (ECAP_DEFAULT | E_SMTS | E_SSTS | E_SMPWC)
#define ECAP_FIRST (ECAP_DEFAULT | E_SMTS | E_SMPWC | E_FSTS | E_PASID | E_PSS)
#define ECAP_NEST  (ECAP_FIRST | E_SSTS | E_NEST)
#define ECAP_PAGES (ECAP_SM | E_PRS | E_PDS)
#define ECAP_IR    (ECAP_DEFAULT | E_IR | E_EIM | E_MHMV)

static unsigned depth(int less)
{
    return (unsigned)((int)env_number("DEPTH", 5) - less);
}

static void every_sequence_in_a_small_world(void **state)
{
    (void)state;
    small_world(&(struct world_cfg){ .wait_us = 100 }, LEGACY, depth(0));
}

static void every_sequence_in_scalable_mode(void **state)
{
    (void)state;
    small_world(&(struct world_cfg){ .wait_us = 100, .scalable = true, .ecap = ECAP_SM }, SCALABLE, depth(1));
    small_world(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_SM }, LEGACY, depth(2));
}

static void every_sequence_of_interrupt_entries(void **state)
{
    (void)state;
    small_world(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_IR }, INTERRUPTS, depth(1));
    small_world(&(struct world_cfg){ .wait_us = 100, .ecap = ECAP_IR, .cap = CAP_DEFAULT | C_CM }, INTERRUPTS,
                depth(2));
}

static void every_sequence_with_first_stage_tables(void **state)
{
    (void)state;
    for (unsigned same = 0; same < 2; same++) {
        const int less = same ? 2 : 1;

        one_did = same;
        small_world(&(struct world_cfg){ .wait_us = 100, .scalable = true, .ecap = ECAP_NEST }, FIRST,
                    depth(less));
        small_world(
            &(struct world_cfg){ .wait_us = 100, .scalable = true, .ecap = ECAP_FIRST, .direct = true },
            FIRST, depth(2));
        small_world(
            &(struct world_cfg){
                .wait_us = 100, .scalable = true, .ecap = ECAP_NEST, .cap = CAP_DEFAULT | C_CM },
            FIRST, depth(2));
    }
    one_did = false;
}

static void every_sequence_of_page_requests(void **state)
{
    (void)state;
    small_world(&(struct world_cfg){ .wait_us = 100, .scalable = true, .ecap = ECAP_PAGES }, REQUESTS,
                depth(1));
}

/* The same with a unit that takes its time and a guest that goes on meanwhile. */
static void every_sequence_with_a_slow_unit(void **state)
{
    static const struct world_cfg slow = { .pace = MODEL_PACE_DELAYED, .pace_max = 3 };
    struct world_cfg sm = slow, ir = slow, first = slow, pages = slow;

    (void)state;
    sm.scalable = true;
    sm.ecap = ECAP_SM;
    ir.ecap = ECAP_IR;
    small_world(&slow, LEGACY, depth(1));
    small_world(&(struct world_cfg){ .pace = MODEL_PACE_MANUAL, .cap = CAP_DEFAULT | C_CM, .wait_us = 1 },
                LEGACY, depth(1));
    small_world(&sm, SCALABLE, depth(2));
    small_world(&ir, INTERRUPTS, depth(2));
    first.scalable = pages.scalable = true;
    first.ecap = ECAP_NEST;
    first.speculate = 16;
    pages.ecap = ECAP_PAGES;
    small_world(&first, FIRST, depth(2));
    small_world(&pages, REQUESTS, depth(2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_by_chance),
        cmocka_unit_test(programs_with_silent_devices),
        cmocka_unit_test(each_cache_is_put_to_the_test),
        cmocka_unit_test(an_unsafe_policy_is_found),
        cmocka_unit_test(three_behaviours_of_drivers),
        cmocka_unit_test(every_sequence_in_a_small_world),
        cmocka_unit_test(every_sequence_in_scalable_mode),
        cmocka_unit_test(every_sequence_of_interrupt_entries),
        cmocka_unit_test(every_sequence_with_first_stage_tables),
        cmocka_unit_test(every_sequence_of_page_requests),
        cmocka_unit_test(every_sequence_with_a_slow_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
