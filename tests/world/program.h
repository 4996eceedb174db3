/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs: what a guest does, as data, so that it can be drawn by chance, shrunk, printed and run again.
 */
#ifndef TESTS_WORLD_PROGRAM_H
#define TESTS_WORLD_PROGRAM_H

#include "tests/world/oracle.h"

enum op_kind {
    OP_MAP,        /* domain, page, target */
    OP_UNMAP,      /* domain, page */
    OP_LARGE,      /* domain, slot, target: a large page over 16 pages */
    OP_DROP,       /* domain, slot: the table of 16 pages is unlinked */
    OP_ATTACH,     /* function, domain, may use ATS */
    OP_PASS,       /* function */
    OP_DETACH,     /* function */
    OP_INV_PAGE,   /* domain, page, AM; on every unit */
    OP_INV_DOMAIN, /* domain */
    OP_INV_GLOBAL,
    OP_CTX_DEVICE, /* function, FM */
    OP_CTX_DOMAIN, /* domain */
    OP_CTX_GLOBAL,
    OP_DTLB,   /* function, page, order */
    OP_WAIT,   /* a wait descriptor, which drains page requests (a = 1), and the tail */
    OP_RING,   /* the tail */
    OP_DMA,    /* function, page, write */
    OP_BEGIN,  /* function, page, write: stays in flight */
    OP_FILL,   /* every cache fills itself */
    OP_ATS,    /* function, on */
    OP_TIME,   /* steps */
    OP_SWITCH, /* unit: translation off or on */
    OP_POLL,   /* unit, register */
    OP_BAR,    /* the BAR aperture opens or closes */
    OP_SILENT, /* function: does not answer invalidations from now on */
    /* scalable mode */
    OP_PENTRY,    /* function, domain, slot and directory: a PASID-table entry */
    OP_DIRECTORY, /* function, directory or none, may use ATS */
    OP_PC,        /* domain, slot, granularity: PASID cache */
    OP_PIOTLB,    /* domain, page, slot and AM */
    OP_PDTLB,     /* function, page, slot and order */
    /* interrupt remapping */
    OP_IRTE,    /* index, kind, vector */
    OP_INV_IEC, /* index, order, all */
    OP_REMAP,   /* unit: off or on */
    OP_MSI,     /* function, index */
    OP_RESET,   /* function */
    /* page requests */
    OP_PAGE,     /* function, group, slot and kind */
    OP_FLOOD,    /* function, how many, slot */
    OP_SERVE,    /* the guest has read its queues; and their overflow is over */
    OP_HOLD,     /* unit: page requests stay inside it until they are drained, or this is over */
    OP_RESPONSE, /* group that is owed one, code, or a lie */
    OP_KINDS,
};

struct op {
    u8 kind, a, b, c;
};

#define MAX_OPS 20000

/* A machine and a guest for the seed; `errors`: devices may fall silent. */
void program_config(struct world_cfg *cfg, u64 seed, bool errors);
/* n operations by chance. */
void program_draw(struct op *ops, unsigned n, u64 seed, const struct world_cfg *cfg, bool errors);

/* Brings the machine up: the guest has its domains, translation on, no function attached yet. */
bool program_begin(const struct world_cfg *cfg, unsigned domains, unsigned pages);
void program_step(const struct op *op);
/* Lets everything finish and judges everything. */
bool program_end(void);
/* All three; false: W.fail says what went wrong. */
bool program_run(const struct world_cfg *cfg, const struct op *ops, unsigned n);

/* Removes whatever is not needed for the failure; returns the new length. */
unsigned program_shrink(const struct world_cfg *cfg, struct op *ops, unsigned n);
void program_print(const struct op *ops, unsigned n);

/* Everything that a program changes, for programs that branch. */
struct snapshot_part {
    void *at;
    size_t size;
};
struct snapshot { /* zeroed at first */
    struct snapshot_part part[8 + MAX_WORLD_UNITS];
    unsigned parts;
    void *data;
    size_t room;
};
void snapshot_save(struct snapshot *s);
void snapshot_load(const struct snapshot *s);

#endif
