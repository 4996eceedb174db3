/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of a guest's table, second-stage or first-stage: for any address and any content of any table,
 * including ones that point at themselves, it ends after as many steps as there are levels and never reads
 * beside a table.
 */
#include "iommu/shadow.c"
#include "tests/proof/proof.h"

static struct unit unit;
static u64 table[512];
static unsigned looked;

volatile void *env_guest_ram(u64 gpa)
{
    looked++;
    return any_bool() ? &table[gpa % PAGE_SIZE / sizeof(u64)] : NULL;
}

static unsigned walk(void)
{
    struct translation t = { .pgtt = any_bool() ? PGTT_FIRST : PGTT_SECOND, .root = any64() & SS_ADDR };

    t.levels = any_bool() ? 5 : any_bool() ? 4 : 3;
    unit.sslps = any64() & 3;
    unit.v.ecap = any64();
    __CPROVER_havoc_object(table);
    looked = 0;
    shadow_fault(&unit, &t, any64());
    PROVE(looked <= t.levels);
    return t.levels;
}

/* UNWIND: 7. */
void proof_walk(void)
{
    walk();
}

/* UNWIND: 7. */
void twin_walk(void)
{
    PROVE(looked < walk());
    PROVE(looked < 5);
}
