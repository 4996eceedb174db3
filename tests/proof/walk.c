/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a guest's second-stage table: for any address and any content of any table, including ones that
 * point at themselves, it ends after as many steps as there are levels and never reads beside a table.
 */
#include "iommu/shadow.c"
#include "tests/proof/proof.h"

static struct unit unit;
static u64 table[512];
static unsigned looked;

volatile void *env_guest_page(u64 gpa)
{
    (void)gpa;
    looked++;
    return any_bool() ? table : NULL;
}

static unsigned walk(void)
{
    unsigned levels = any_bool() ? 3 : 4;

    unit.sslps = any64() & 3;
    unit.v.ecap = any64();
    __CPROVER_havoc_object(table);
    looked = 0;
    shadow_fault(&unit, any64(), levels, any64());
    PROVE(looked <= levels);
    return levels;
}

/* UNWIND: 6. */
void proof_walk(void)
{
    walk();
}

/* UNWIND: 6. */
void twin_walk(void)
{
    PROVE(looked < walk());
    PROVE(looked < 4);
}
