/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * Programs against the oracle: by chance, and in a small world all of them.
 *
 *   SEED=n STEPS=n      runs that one program by chance (ERRORS=1: with silent devices)
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

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void tell(const struct world_cfg *cfg, u64 seed, unsigned n, bool errors)
{
    char first[sizeof(W.fail)];

    memcpy(first, W.fail, sizeof(first));
    fprintf(stderr, "SEED=%llu STEPS=%u ERRORS=%d: %s\n", (unsigned long long)seed, n, errors, first);
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

    program_config(&cfg, seed, errors);
    program_draw(ops, steps, seed, &cfg, errors);
    if (!program_run(&cfg, ops, steps))
        tell(&cfg, seed, steps, errors);
}

static void replay(const char *hex, u64 seed)
{
    struct world_cfg cfg;
    unsigned n = 0, byte[4];

    program_config(&cfg, seed, env_number("ERRORS", 0));
    for (; n < MAX_OPS && sscanf(hex, "%2x%2x%2x%2x", &byte[0], &byte[1], &byte[2], &byte[3]) == 4; hex += 8)
        ops[n++] = (struct op){ (u8)byte[0], (u8)byte[1], (u8)byte[2], (u8)byte[3] };
    program_run(&cfg, ops, n);
    fprintf(stderr, "%u operations: %s\n", n, W.fail[0] ? W.fail : "nothing wrong");
    if (!world_ok())
        fail_msg("%s", W.fail);
}

static void by_chance(bool errors)
{
    unsigned steps = (unsigned)env_number("STEPS", 300), n = 0;
    double end = now() + (double)env_number("PROGRAM_SECONDS", 15);
    u64 before = world_totals.submissions, seed = env_number("FIRST", 1);

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_by_chance),
        cmocka_unit_test(programs_with_silent_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
