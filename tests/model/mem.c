/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the unit sees memory: through the processor's caches (ECAP.C=1), or only what was written back, and
 * with RWBF=1 only what has also left the chipset's write buffer (6.8).
 */
#include "tests/model/model_int.h"

#define LINE 64ull

static bool in_shadow(const struct model *m, u64 pa, u64 len)
{
    return m->cfg.shadow && pa >= m->cfg.shadow_base && len <= m->cfg.shadow_size &&
           pa - m->cfg.shadow_base <= m->cfg.shadow_size - len;
}

static bool in_host_width(const struct model *m, u64 pa, u64 len)
{
    return len && !((pa + (len - 1)) >> m->cfg.haw) && pa + (len - 1) >= pa;
}

bool mdl_mem_read(struct model *m, u64 pa, void *buf, u32 len)
{
    return in_host_width(m, pa, len) && m->ops.mem_read(m->ops.ctx, pa, buf, len);
}

bool mdl_mem_write(struct model *m, u64 pa, const void *buf, u32 len)
{
    return in_host_width(m, pa, len) && m->ops.mem_write(m->ops.ctx, pa, buf, len);
}

bool mdl_read(struct model *m, enum mdl_view view, u64 pa, void *buf, u32 len)
{
    const void *p;

    if (view == VIEW_UNIT && in_shadow(m, pa, len)) {
        m->recent[m->recent_at++ % RECENT] = pa & ~(LINE - 1);
        mdl_copy(buf, (const u8 *)m->cfg.shadow + (pa - m->cfg.shadow_base), len);
        return true;
    }
    if (!in_host_width(m, pa, len))
        return false;
    p = m->ops.mem_map ? m->ops.mem_map(m->ops.ctx, pa, len) : NULL;
    if (!p)
        return m->ops.mem_read(m->ops.ctx, pa, buf, len);
    mdl_copy(buf, p, len);
    return true;
}

/* The world's memory in place, where that is the whole truth. */
static const volatile u64 *in_place(struct model *m, u64 pa, u32 len)
{
    return m->cfg.shadow || !m->ops.mem_map || pa >> m->cfg.haw ? NULL : m->ops.mem_map(m->ops.ctx, pa, len);
}

bool mdl_read64(struct model *m, enum mdl_view view, u64 pa, u64 *value)
{
    const volatile u64 *p = in_place(m, pa, 8);

    if (!p)
        return mdl_read(m, view, pa, value, 8);
    *value = *p;
    return true;
}

bool mdl_read128(struct model *m, enum mdl_view view, u64 pa, u64 value[2])
{
    const volatile u64 *p = in_place(m, pa, 16);

    if (!p)
        return mdl_read(m, view, pa, value, 16);
    value[0] = p[0];
    value[1] = p[1];
    return true;
}

static void line_arrives(struct model *m, u64 line)
{
    if (in_shadow(m, line, LINE))
        (void)m->ops.mem_read(m->ops.ctx, line, (u8 *)m->cfg.shadow + (line - m->cfg.shadow_base), LINE);
}

/* 6.8: the WBF command; invalidations imply it. */
void mdl_write_buffer_flush(struct model *m)
{
    if (!m->cfg.shadow || !CAP_RWBF(m))
        return;
    if (ECAP_C(m)) {
        (void)m->ops.mem_read(m->ops.ctx, m->cfg.shadow_base, m->cfg.shadow, m->cfg.shadow_size);
        return;
    }
    for (unsigned i = 0; i < m->nwbline; i++)
        line_arrives(m, m->wbline[i]);
    m->nwbline = 0;
}

void model_writeback(struct model *m, uint64_t pa, uint64_t len)
{
    if (!m->cfg.shadow || !len)
        return;
    for (u64 line = pa & ~(LINE - 1); line < pa + len; line += LINE) {
        if (!CAP_RWBF(m)) {
            line_arrives(m, line);
            continue;
        }
        /* A full write buffer drains: hardware may do so at any time. */
        if (m->nwbline == WBLINES)
            line_arrives(m, m->wbline[--m->nwbline]);
        m->wbline[m->nwbline++] = line;
    }
}

/* A processor may evict a line whenever it likes: not written back does not mean not visible. */
void mdl_evict_some(struct model *m)
{
    if (mdl_rnd(m, 8) == 0)
        line_arrives(m, m->recent[mdl_rnd(m, RECENT)]);
}
