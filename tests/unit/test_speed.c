/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: libworld.a libiommu.a libmodel.a */
/*
 * How many submissions a second the judge can judge, since minutes of testing are worth what they hold. Says
 * the figure; fails only when something is badly wrong, because tests run with sanitizers and on any machine.
 */
#include <time.h>

#include "tests/unit/world_test.h"
#include "tests/world/program.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* of one core, whatever else the machine does */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A driver at work: pages are mapped and unmapped, each with its flush and wait, while devices use them. */
static double driver(const struct world_cfg *cfg, unsigned pages)
{
    struct op op;
    u64 submissions;
    double begin, seconds;

    assert_true(program_begin(cfg, 2, MIN(pages, (unsigned)ORACLE_PAGES)));
    program_step(&(struct op){ OP_ATS, 1, 1, 0 });
    program_step(&(struct op){ OP_ATTACH, 0, 0, 0 });
    program_step(&(struct op){ OP_ATTACH, 1, 0, 1 });
    program_step(&(struct op){ OP_CTX_GLOBAL, 0, 0, 0 });
    program_step(&(struct op){ OP_INV_GLOBAL, 0, 0, 0 });
    for (unsigned p = 0; p < MIN(pages, (unsigned)ORACLE_PAGES); p++)
        program_step(&(struct op){ OP_MAP, 0, (u8)p, (u8)(p % 8) });
    program_step(&(struct op){ OP_WAIT, 0, 0, 0 });
    submissions = world_totals.submissions;
    begin = now();
    for (unsigned n = 0; (seconds = now() - begin) < 0.5 && world_ok(); n++)
        for (unsigned i = 0; i < 100; i++) {
            u8 page = (u8)((n * 100 + i) * 7 % pages % ORACLE_PAGES);

            op = (struct op){ OP_DMA, (u8)(i & 1), page, 0 };
            program_step(&op);
            if (i & 1)
                op = (struct op){ OP_UNMAP, 0, page, 0 };
            else
                op = (struct op){ OP_MAP, 0, page, (u8)(i % 8) };
            program_step(&op);
            op = (struct op){ OP_INV_PAGE, 0, page, 0 };
            program_step(&op);
            op = (struct op){ OP_WAIT, 0, 0, 0 };
            program_step(&op);
        }
    submissions = world_totals.submissions - submissions;
    assert_true(program_end());
    return (double)submissions / seconds;
}

static void submissions_per_second(void **state)
{
    struct world_cfg cfg = { .ats = ATS_ALL, .wait_us = 100, .nr_fns = 2 };
    double rate;

    (void)state;
    cfg.fn[0] = (struct world_fn_cfg){ SID_PLAIN, 0, false, 0 };
    cfg.fn[1] = (struct world_fn_cfg){ SID_ATS, 0, true, 0 };
    for (unsigned pages = 4; pages <= 64; pages *= 4) {
        rate = driver(&cfg, pages);
        print_message("# %u pages: %.0f submissions per second\n", pages, rate);
        assert_true(rate > 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(submissions_per_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
