/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small machine on the host: the real iommu/ code below a guest that is a C program, above units that are
 * the model. Memory, time, interrupts and the guest's side of everything are here.
 *
 * Nothing in this folder takes a layout or a constant of VT-d from iommu/: the guest is written from the
 * specification, like the model, so that a wrong constant cannot agree with itself.
 */
#ifndef TESTS_WORLD_WORLD_H
#define TESTS_WORLD_WORLD_H

#include "iommu/iommu.h"
#include "tests/model/model.h"

/* --- the physical address map --- */
#define GUEST_ROOT      0x1000ull
#define GUEST_CTX       0x2000ull  /* one page for each of the first buses */
#define GUEST_RING      0x8000ull  /* eight pages */
#define GUEST_STATUS    0x10000ull /* one page of status words */
#define GUEST_CTX_UPPER 0x11000ull /* scalable mode: devices 16 and up of the first buses */
#define GUEST_IRT       0x15000ull /* 256 interrupt entries */
#define GUEST_PQ        0x18000ull /* page requests, a page for each unit */
#define GUEST_TABLES    0x40000ull /* page tables, TABLE_PAGES */
#define GUEST_PASIDS    0x20000ull /* two directories with two tables each, for MAX_SCALABLE_FNS functions */
#define GUEST_DATA      0x80000ull /* what the guest maps for its devices, DATA_PAGES */
#define TABLE_PAGES     64u
#define DATA_PAGES      128u
#define RAM1_END        0x200000ull
#define REGION_BASE     0x200000ull /* Sluice's own memory */
#define REGION_MAX      0x400000ull
#define RAM2_BASE       0x600000ull /* 2 MiB */
#define RAM2_END        0x800000ull
#define TRIP_BASE       0x900000ull /* freed pages of Sluice's lead here: nobody may ever get there */
#define RMRR_BASE       0xa00000ull /* firmware's, 16 pages */
#define RMRR_END        0xa10000ull
#define BAR_BASE        0xc0000000ull /* a BAR aperture: DMA may go there, but it is not RAM */
#define BAR_END         0xc0010000ull
#define UNIT_BASE       0xfed90000ull
#define UNIT_SIZE       0x1000ull
#define RAM3_BASE       0x100000000ull /* 1 GiB, where the unit can map it with large pages */
#define RAM3_END        0x140000000ull
#define EVENT_ADDR      0xfee00000ull /* what reaches iommu_event() */
#define EVENT_DATA      0x400u

/* What iommu/ keeps for its trace of each unit: of Sluice's memory, but not counted in world_cfg.pages. */
#define RING_PAGES 16u

#define MAX_WORLD_UNITS  2
#define MAX_WORLD_FNS    16
#define MAX_SCALABLE_FNS 5

/* --- capabilities --- */
#define C_ND(n)     ((u64)(n))
#define C_RWBF      (1ull << 4)
#define C_CM        (1ull << 7)
#define C_SAGAW(b)  ((u64)(b) << 8) /* 2: 3-level, 4: 4-level */
#define C_SSLPS(b)  ((u64)(b) << 34)
#define C_PSI       (1ull << 39)
#define C_NFR(n)    (((u64)(n)-1) << 40)
#define C_MAMV(n)   ((u64)(n) << 48)
#define C_DRAIN     (3ull << 54)
#define C_FS1GP     (1ull << 56)
#define C_ESRTPS    (1ull << 63)
#define C_BASE      (47ull << 16 | 1ull << 22 | 0x40ull << 24) /* MGAW, ZLR, FRO */
#define CAP_DEFAULT (C_BASE | C_ND(2) | C_SAGAW(6) | C_SSLPS(3) | C_PSI | C_NFR(8) | C_MAMV(18) | C_DRAIN)
#define E_C         (1ull << 0)
#define E_QI        (1ull << 1)
#define E_DT        (1ull << 2)
#define E_PT        (1ull << 6)
#define E_SC        (1ull << 7)
#define E_IR        (1ull << 3)
#define E_EIM       (1ull << 4)
#define E_MHMV      (15ull << 20)
#define E_NEST      (1ull << 26)
#define E_PRS       (1ull << 29)
#define E_PSS       (19ull << 35)
#define E_PASID     (1ull << 40)
#define E_DIT       (1ull << 41)
#define E_PDS       (1ull << 42)
#define E_SMTS      (1ull << 43)
#define E_SSTS      (1ull << 46)
#define E_FSTS      (1ull << 47)
#define E_SMPWC     (1ull << 48)
#define E_RPS       (1ull << 49)
#define E_BASE      (0x30ull << 8) /* IRO */

#define ECAP_DEFAULT (E_BASE | E_C | E_QI | E_DT | E_PT | E_SC)

struct world_fn_cfg {
    u16 sid;
    u8 unit;
    bool ats;
    u8 depth;
};

struct world_cfg {
    u64 cap, ecap;   /* 0: the defaults above */
    u64 cap1, ecap1; /* of the second unit; 0: like the first */
    u8 units;        /* 0: one */
    u8 pace;         /* enum model_pace */
    u16 pace_max;
    u8 keep[MODEL_CLASSES];
    u16 speculate;
    u16 ite_steps;
    u16 relax_us; /* a turn of a wait loop takes this much longer */
    bool ite_no_sid;
    bool compress;
    u64 seed;
    u32 wait_us; /* 0: every batch is left to the completion event */
    enum dtlb_policy dtlb;
    u8 dtlb_hint;
    enum ats_policy ats; /* ATS_OFF is 0: tests say what they want */
    bool direct, no_caching_mode, strict;
    unsigned pages;     /* of Sluice's region; 0: all */
    bool scalable;      /* the guest uses the scalable mode, if the unit has it */
    u32 rid_pasid;      /* ... and this PASID for requests without one; below 64 */
    unsigned scarce;    /* with programs: only so many pages are left for tables once the guest runs */
    unsigned nr_fns;    /* 0: the three below */
    bool reuse_at_once; /* a freed page is the next one allocated; otherwise the last one */
    bool quiet;         /* no oracle: for measuring */
    bool own_watch;     /* the test says itself which pages speculation cares about */
    const u8 *dmar;     /* another DMAR than the built one */
    size_t dmar_size;
    bool firmware_on; /* firmware left translation and queue on */
    struct world_fn_cfg fn[MAX_WORLD_FNS];
    u32 id[MAX_WORLD_FNS];         /* device and vendor; 0: it has none, like a VF */
    bool no_pasids[MAX_WORLD_FNS]; /* it has them not enabled, and cannot answer a flush that names one */
    u16 pf[MAX_WORLD_FNS]; /* of a VF, its physical function: no scope of the DMAR names the VF itself */
};

struct world_irq {
    u64 addr;
    u32 data;
};

struct world {
    struct world_cfg cfg;
    u8 *mem; /* physical memory from 0 on */
    struct model *unit[MAX_WORLD_UNITS];
    struct model_fn *fn[MAX_WORLD_FNS];
    unsigned nr_fns;

    u64 now_us;
    bool running; /* running: other CPUs may be in iommu/ too */
    bool event_pending;
    unsigned events; /* times iommu_event() was called */
    struct world_irq irq[64];
    unsigned irqs, refused_irqs;
    bool device_irqs_expected; /* what devices send, after the unit let it through */
    struct world_irq device_irq[16];
    unsigned device_irqs;

    unsigned pages, bump, free_pages;
    u32 free_list[REGION_MAX / 4096]; /* a ring */
    unsigned free_head;
    bool is_free[REGION_MAX / 4096];
    u64 note[REGION_MAX / 4096];
    bool freed;       /* a page was freed since the last look */
    bool bar_off;     /* the BAR aperture is closed */
    bool bar_closing; /* ... and what is on its way there may still land */

    void (*on_trace)(const struct model_event *e); /* what a test wants to see of the units */
    void (*on_write)(void);                        /* called when a register was written */
    void (*on_store)(const u64 *at, u64 value);    /* called when an entry of a table was written */
    void (*after_exit)(void);                      /* after each call of iommu/ */

    u64 guest_pages;     /* calls of env_guest_ram() */
    u64 max_guest_pages; /* most of them in one call of iommu/ */
    u64 warnings, lines; /* logged; the latter all but what is for debugging */
    char last_log[256];
    char fail[512]; /* the first thing that went wrong, "" = nothing */
};
extern struct world W;

/* A machine after reset, its DMAR parsed and its units under Sluice. Returns what iommu_protect() said. */
int world_start(const struct world_cfg *cfg);
/* Up to iommu_parse(), not further. */
int world_boot(const struct world_cfg *cfg);
int world_protect(void);

void world_poison(u8 *page);
/* Records what went wrong; the first word counts. */
void world_fail(const char *fmt, ...) __printf(1, 2);
static inline bool world_ok(void)
{
    return !W.fail[0];
}

/* The guest's CPU touches the register window of unit `u`. */
u64 guest_read(unsigned u, u32 off, unsigned width);
void guest_write(unsigned u, u32 off, unsigned width, u64 value);
/* The guest runs for a while without leaving guest mode: units work, events arrive. */
void world_run(unsigned steps);
/* Until nothing is under way in any unit and no event waits. */
void world_settle(void);
/* Delivers pending events, as NMIs that arrive while the guest runs. */
bool world_locked(void); /* is any unit's lock held? */
void world_deliver(void);

/* What devices may reach; independent of any table. */
bool world_allowed(u64 pa);
bool world_is_ram(u64 pa);
static inline void *world_mem(u64 pa)
{
    return W.mem + pa;
}
static inline void poke64(u64 pa, u64 v)
{
    *(volatile u64 *)(W.mem + pa) = v;
}
static inline u64 peek64(u64 pa)
{
    return *(volatile u64 *)(W.mem + pa);
}
static inline u32 peek32(u64 pa)
{
    return *(volatile u32 *)(W.mem + pa);
}

/* A DMAR for the configuration; returns its size. */
size_t world_dmar(u8 *buf, const struct world_cfg *cfg);
void dmar_checksum(u8 *buf, size_t size);

/* The ATS enable bit of function `f`, as hv/ sees the guest write it. */
void world_ats(unsigned f, bool on);
/* It is reset, which hv/ has seen. */
void world_reset(unsigned f);

/* Totals over all worlds of this process. */
struct world_totals {
    struct model_counts c[MODEL_CLASSES];
    u64 submissions, checks, unsure;
};
extern struct world_totals world_totals;
/* Adds the counters of the present world to the totals. */
void world_count(void);

#endif
