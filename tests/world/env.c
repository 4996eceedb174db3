/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iommu/env.h on the host: registers are the model's, memory is an array, time passes when somebody waits.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iommu/parts.h"
#include "tests/world/world.h"

/* --- registers --- */

void *env_regs_map(u64 base, u64 size)
{
    u64 i = (base - UNIT_BASE) / UNIT_SIZE;

    (void)size;
    return i < MAX_WORLD_UNITS ? W.unit[i] : NULL;
}

/* What two CPUs must not do at once. */
static void needs_lock(const char *what)
{
    if (W.running && !world_locked())
        world_fail("%s without a unit's lock", what);
}

u32 env_read32(void *regs, u32 off)
{
    needs_lock("a register was read");
    return (u32)model_reg_read(regs, off, 4);
}

u64 env_read64(void *regs, u32 off)
{
    needs_lock("a register was read");
    return model_reg_read(regs, off, 8);
}

void env_write32(void *regs, u32 off, u32 value)
{
    needs_lock("a register was written");
    model_reg_write(regs, off, 4, value);
    if (W.on_write)
        W.on_write();
}

void env_write64(void *regs, u32 off, u64 value)
{
    needs_lock("a register was written");
    model_reg_write(regs, off, 8, value);
    if (W.on_write)
        W.on_write();
}

/* --- memory --- */

volatile void *env_guest_ram(u64 gpa)
{
    W.guest_pages++;
    return world_is_ram(gpa) ? W.mem + gpa : NULL;
}

bool world_is_ram(u64 pa)
{
    if (pa < RAM1_END || (pa >= RAM2_BASE && pa < RAM2_END))
        return true;
    return (W.cfg.cap & C_SSLPS(1)) && pa >= RAM3_BASE && pa < RAM3_END;
}

static const struct {
    u64 first, end;
    bool allowed, large;
} map[] = {
    { 0, RAM1_END, true, false },         { RAM1_END, RAM2_BASE, false, false },
    { RAM2_BASE, RAM2_END, true, false }, { RAM2_END, RMRR_BASE, false, false },
    { RMRR_BASE, RMRR_END, true, false }, { RMRR_END, BAR_BASE, false, false },
    { BAR_BASE, BAR_END, true, false },   { BAR_END, RAM3_BASE, false, false },
    { RAM3_BASE, RAM3_END, true, true },  { RAM3_END, ~0ull, false, false },
};

static unsigned find(u64 pa)
{
    unsigned i = 0;

    while (pa >= map[i].end && i < ARRAY_SIZE(map) - 1)
        i++;
    return i;
}

bool world_allowed(u64 pa)
{
    unsigned i = find(pa);

    return map[i].allowed && (!map[i].large || W.cfg.cap & C_SSLPS(1)) &&
           !(W.bar_off && pa >= BAR_BASE && pa < BAR_END);
}

bool env_dma_allowed(u64 addr, u64 *extent)
{
    *extent = map[find(addr)].end - addr;
    return world_allowed(addr);
}

/* --- Sluice's own pages --- */

static u32 page_index(const void *page)
{
    return (u32)(((const u8 *)page - (W.mem + REGION_BASE)) / 4096);
}

static void *page_at(u32 index)
{
    return W.mem + REGION_BASE + index * 4096ull;
}

void *env_page_alloc(void)
{
    u32 i;

    if (W.bump < W.pages && (!W.free_pages || !W.cfg.reuse_at_once)) {
        i = W.bump++;
    } else if (W.free_pages) {
        unsigned at = W.cfg.reuse_at_once ? W.free_head + W.free_pages - 1 : W.free_head;

        i = W.free_list[at % ARRAY_SIZE(W.free_list)];
        if (!W.cfg.reuse_at_once)
            W.free_head++;
        W.free_pages--;
        W.is_free[i] = false;
    } else {
        return NULL;
    }
    memset(page_at(i), 0, 4096);
    return page_at(i);
}

/* Whoever still walks a freed page is led to a place where nobody may be. */
void env_page_free(void *page)
{
    u32 i = page_index(page);

    if (i >= W.bump || (u64)page & 0xfff || W.is_free[i]) {
        world_fail("page %u freed twice or never allocated", i);
        return;
    }
    W.is_free[i] = true;
    world_poison(page);
    env_writeback(page, 4096);
    W.free_list[(W.free_head + W.free_pages++) % ARRAY_SIZE(W.free_list)] = i;
    W.freed = true;
}

void *env_pages_alloc(unsigned count)
{
    void *p = page_at(W.bump);

    if (count > W.pages - W.bump)
        return NULL;
    W.bump += count;
    memset(p, 0, count * 4096ull);
    return p;
}

size_t env_pages_available(void)
{
    return W.pages - W.bump + W.free_pages;
}

u64 *env_page_note(const void *page)
{
    return &W.note[page_index(page)];
}

u64 env_phys(const void *page)
{
    if ((const u8 *)page < W.mem + REGION_BASE || (const u8 *)page >= W.mem + REGION_MAX + REGION_BASE)
        world_fail("env_phys() of no page of ours");
    return (u64)((const u8 *)page - W.mem);
}

void *env_virt(u64 phys)
{
    if (phys < REGION_BASE || phys - REGION_BASE >= (u64)W.bump * 4096 || phys & 0xfff ||
        W.is_free[(phys - REGION_BASE) / 4096])
        world_fail("env_virt(%llx) of no page of ours", (unsigned long long)phys);
    return W.mem + phys;
}

void env_store64(u64 *at, u64 value)
{
    *at = value;
    if (W.on_store)
        W.on_store(at, value);
}

void env_writeback(const void *p, size_t len)
{
    for (unsigned i = 0; i < (W.cfg.units ? W.cfg.units : 1); i++)
        model_writeback(W.unit[i], env_phys(p), len);
}

/* --- time and locks --- */

u64 env_now_us(void)
{
    return W.now_us;
}

u64 env_ticks(void)
{
    return W.now_us;
}

void env_relax(void)
{
    bool moved = false;

    for (unsigned i = 0; i < W.cfg.units; i++)
        moved |= model_step(W.unit[i]);
    /* When only a deadline can end the wait, it shall not take long. */
    W.now_us += moved ? 1u + W.cfg.relax_us : 10000u;
}

void env_lock_wait(struct env_lock *lock)
{
    (void)lock;
    world_fail("a lock was taken twice");
}

bool world_locked(void)
{
    bool locked = false;

    for (unsigned i = 0; i < nr_units; i++)
        locked |= units[i]->lock.taken;
    return locked;
}

/* --- interrupts --- */

void env_event_message(u64 *address, u32 *data)
{
    *address = EVENT_ADDR;
    *data = EVENT_DATA;
}

bool env_send_interrupt(u64 address, u32 data)
{
    unsigned mode = data >> 8 & 7;

    if (address >> 20 != 0xfee || mode > 1) {
        W.refused_irqs++;
        return false;
    }
    W.irq[W.irqs++ % ARRAY_SIZE(W.irq)] = (struct world_irq){ address, data };
    return true;
}

/* Root port 00:1c.0 leads to bus 1, 00:1d.0 to buses 2 and 3; there is nothing else to see. */
u16 env_pci_physical(u16 segment, u16 sid)
{
    for (unsigned f = 0; !segment && f < W.nr_fns; f++)
        if (W.cfg.fn[f].sid == sid && W.cfg.pf[f])
            return W.cfg.pf[f];
    return sid;
}

u32 env_pci_read32(u16 segment, u16 sid, u32 off)
{
    for (unsigned f = 0; !off && !segment && f < W.nr_fns; f++)
        if (W.cfg.fn[f].sid == sid && W.cfg.id[f])
            return W.cfg.id[f];
    for (unsigned f = 0; off == 4 && !segment && f < W.nr_fns; f++)
        if (W.cfg.fn[f].sid == sid)
            return 0;
    if (segment || off != 0x18)
        return ~0u;
    if (sid == (0x1c << 3))
        return 0x010100;
    if (sid == (0x1d << 3))
        return 0x030200;
    return ~0u;
}

void env_bus_master_off(u16 segment, u16 sid)
{
    for (unsigned f = 0; !segment && f < W.nr_fns; f++)
        if (W.cfg.fn[f].sid == sid) {
            model_fn_set_bus_master(W.fn[f], false);
            return;
        }
    world_fail("the command register of %04x was written, which is not there", sid);
}

/* --- the log --- */

static void log_line(enum env_level level, const char *fmt, va_list args)
{
    static int show = -1;

    if (show < 0)
        show = getenv("WORLD_LOG") ? 1 : 0;
    W.lines += level <= ENV_INFO;
    if (level <= ENV_WARN)
        W.warnings++;
    else if (!show && level != ENV_INFO)
        return;
    vsnprintf(W.last_log, sizeof(W.last_log), fmt, args);
    if (show)
        fprintf(stderr, "    [%u] %s\n", level, W.last_log);
}

void env_log(enum env_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_line(level, fmt, args);
    va_end(args);
}

void env_log_limited(enum env_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_line(level, fmt, args);
    va_end(args);
}
