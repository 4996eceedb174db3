/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of the machine. Only what programs change is copied: the guest's low memory, the pages of Sluice's
 * that were ever used, the units, and the harness's own state. What iommu/ keeps outside of its pages is set
 * once, when the DMAR is parsed; and pages that come into use later are zeroed when they do.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/world/program.h"

void snapshot_save(struct snapshot *s)
{
    size_t total = 0, oracle_size, ir_size, prq_size;
    void *oracle = oracle_state(&oracle_size), *ir = oracle_ir_state(&ir_size),
         *prq = oracle_prq_state(&prq_size);
    u8 *to;

    s->part[0] = (struct snapshot_part){ &W, sizeof(W) };
    s->part[1] = (struct snapshot_part){ &G, sizeof(G) };
    s->part[2] = (struct snapshot_part){ oracle, oracle_size };
    s->part[3] = (struct snapshot_part){ world_mem(0), guest_tables_end() };
    s->part[4] = (struct snapshot_part){ world_mem(GUEST_TABLES), G.nr_tables * 4096ull };
    s->part[5] = (struct snapshot_part){ world_mem(REGION_BASE), W.bump * 4096ull };
    s->part[6] = (struct snapshot_part){ ir, ir_size };
    s->part[7] = (struct snapshot_part){ prq, prq_size };
    s->parts = 8;
    for (unsigned u = 0; u < W.cfg.units; u++)
        s->part[s->parts++] = (struct snapshot_part){ W.unit[u], MODEL_BYTES };
    for (unsigned i = 0; i < s->parts; i++)
        total += s->part[i].size;
    if (total > s->room) {
        s->data = realloc(s->data, total);
        s->room = total;
    }
    if (!s->data)
        abort();
    to = s->data;
    for (unsigned i = 0; i < s->parts; i++) {
        memcpy(to, s->part[i].at, s->part[i].size);
        to += s->part[i].size;
    }
}

void snapshot_load(const struct snapshot *s)
{
    const u8 *from = s->data;

    for (unsigned i = 0; i < s->parts; i++) {
        memcpy(s->part[i].at, from, s->part[i].size);
        from += s->part[i].size;
    }
}
