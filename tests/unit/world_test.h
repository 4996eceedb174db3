/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every test of iommu/ in the simulated machine begins and ends with.
 */
#ifndef TESTS_UNIT_WORLD_TEST_H
#define TESTS_UNIT_WORLD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/world/guest.h"

static inline void start(const struct world_cfg *cfg)
{
    assert_int_equal(world_start(cfg), 0);
    if (!world_ok())
        fail_msg("%s", W.fail);
}

/* Nothing went wrong that the world watches, and the units were driven as the specification wants. */
static inline void finish(void)
{
    world_settle();
    if (!world_ok())
        fail_msg("%s", W.fail);
    for (unsigned u = 0; u < W.cfg.units; u++)
        for (unsigned v = 0; v < MODEL_VIOLATIONS; v++)
            if (model_violation_count(W.unit[u], v))
                fail_msg("unit %u was driven wrongly: %s", u, model_violation_name(v));
    world_count();
}

#endif
