/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the oracle keeps: oracle.c has the histories and judges by them, oracle_flush.c what the guest's
 * descriptors end.
 */
#ifndef TESTS_WORLD_ORACLE_INT_H
#define TESTS_WORLD_ORACLE_INT_H

#include "tests/world/oracle.h"

#define VALUES   6
#define VERSIONS 6
#define PENDING  512

struct value {
    u64 pa;
    u8 perm; /* 0: blocked */
    u32 since;
};

struct history {
    struct value v[VALUES]; /* the newest last */
    u8 n;
    u32 forgot; /* until when something was that no longer fits in here */
};

struct version {
    int d;
    u32 since;
};

struct versions {
    struct version v[VERSIONS]; /* the newest last */
    u8 n;
    u32 forgot;
};

struct pushed {
    u8 type, g, fm;
    u16 did, sid;
    u32 pasid, group;
    u64 first, last;
    u32 cookie;
    u32 fetched; /* 0: not yet */
};

/* Beside the number of a directory. */
enum { DIR_NONE = -1, DIR_IDENTITY = -2 };

struct oracle {
    u32 now, structure; /* the latter: when tables above the leaves changed last */
    unsigned nr_domains, nr_pages;
    struct history page[MAX_GUEST_DOMAINS][ORACLE_PAGES];
    /* Second-stage: slot 0 stands for all, because caches do not tell PASIDs apart there. */
    u32 covered[MAX_WORLD_UNITS][MAX_GUEST_DOMAINS][GUEST_SLOTS][ORACLE_PAGES];
    /* What entries have said: those of context tables lead to a directory (legacy mode: to number 0, always),
     * those in a directory to a domain. */
    struct versions dir[ORACLE_FNS], entry[ORACLE_FNS][GUEST_SLOTS][2], pages[ORACLE_FNS];
    u32 dir_covered[ORACLE_FNS], entry_covered[ORACLE_FNS][GUEST_SLOTS];
    int dir_now[ORACLE_FNS];
    bool pages_now[ORACLE_FNS];
    bool on[MAX_WORLD_UNITS];
    u32 switching[MAX_WORLD_UNITS]; /* since when a change of translation is under way; 0: it is not */
    bool may_block[ORACLE_FNS];
    struct pushed pending[MAX_WORLD_UNITS][PENDING];
    unsigned first[MAX_WORLD_UNITS], end[MAX_WORLD_UNITS], fetched[MAX_WORLD_UNITS];
    u32 head[MAX_WORLD_UNITS];
    unsigned waits;
    u64 to_check[ORACLE_FNS]; /* bit per page */
    unsigned freed;
};
extern struct oracle oracle;

/* Functions of unit u are to be judged for these pages, soon. */
void oracle_check_soon(unsigned u, u64 pages);
void oracle_check_now(void);
void oracle_after_exit(void);
int oracle_fn(u16 sid); /* -1: there is none */

/* May page requests of the function pass, or be refused? */
bool oracle_pages(unsigned f, bool pass);
/* What is new in the guest's queues; those of unit u are there up to this time; the response has completed.
 */
void oracle_prq_look(void);
void oracle_pages_drained(unsigned u, u32 when);
void oracle_page_answered(u32 id);

#endif
