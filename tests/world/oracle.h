/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The promises as something that can be checked at any time: what may happen to a page of a function, given
 * what the guest's tables have said since the flushes that cover it were fetched.
 */
#ifndef TESTS_WORLD_ORACLE_H
#define TESTS_WORLD_ORACLE_H

#include "tests/world/guest.h"

#define ORACLE_PAGES 64
#define ORACLE_FNS   MAX_WORLD_FNS

/* Page number `p` of the oracle is this input address. */
u64 oracle_iova(unsigned p);

/* After guest_start() and once the guest's domains are known; `pages` of the oracle are watched. */
void oracle_start(unsigned domains, unsigned pages);

/* The guest wrote a leaf of page `p`, or something that may concern every page. */
void oracle_page(unsigned p);
void oracle_tables(void);
/*
 * The guest wrote the entry that says where requests of function `f` go: its context entry (legacy mode, slot
 * and dir 0), or the PASID-table entry of this slot below this directory. `d`: a domain, or GUEST_NONE or
 * GUEST_PASS.
 */
void oracle_entry(unsigned f, unsigned slot, unsigned dir, int d);
/* Scalable mode: the guest's context entry of `f` names this directory now, GUEST_NONE: is not present. */
void oracle_directory(unsigned f, int dir, bool pages); /* may it send page requests? */
/* The guest's translation is being switched; it is in force. */
void oracle_enable(unsigned u, bool on);
void oracle_enabled(unsigned u);
/* This function, or everything, may be blocked at any time: it was quarantined, or memory is short. */
void oracle_may_block(unsigned f);

/* The guest pushed a descriptor of unit u; g and ranges as in the descriptor, pages as 4K numbers. */
void oracle_pushed_context(unsigned u, unsigned g, u16 did, u16 sid, unsigned fm);
void oracle_pushed_iotlb(unsigned u, unsigned g, u16 did, u64 page, unsigned am);
/* scalable mode: type 6 (g 2 PASID, 3 page) and type 7 (g 0 domain, 1 PASID, 3 global) */
void oracle_pushed_piotlb(unsigned u, unsigned g, u16 did, u32 pasid, u64 page, unsigned am);
void oracle_pushed_pasid(unsigned u, unsigned g, u16 did, u32 pasid);
void oracle_pushed_iec(unsigned u, bool one, u16 index, unsigned order);
void oracle_pushed_other(unsigned u);
void oracle_pushed_wait(unsigned u, u32 cookie, bool drain);
void oracle_pushed_response(unsigned u, u32 id); /* of oracle_page_answer() */
/* Are there waits that were submitted and have not completed? */
bool oracle_waiting(void);

/* The oracle's own state, for snapshots. */
void *oracle_state(size_t *size);

/* What devices may reach has changed, and the change is in force. */
void oracle_dma_changed(void);

/* Judges every function and page; fails the world if something is not allowed. */
void oracle_check_all(void);
/* Judges one DMA that went to `pa` (~0: it was blocked). */
void oracle_dma(unsigned f, unsigned slot, unsigned p, u64 pa);

/* --- oracle_ir.c: interrupt entries --- */
#define ORACLE_IRTES 4
void oracle_ir_start(void);
/* The guest wrote entry `index`. */
void oracle_irte(unsigned index);
/* It has switched remapping of unit u. */
void oracle_remapping(unsigned u, bool on);
/* A flush of these that was fetched at `when` has completed. */
void oracle_ir_covered(unsigned u, unsigned first, unsigned last, u32 when);
void oracle_ir_check(void);
/* An interrupt of unit u was delivered, `index` its entry. */
void oracle_ir_delivered(unsigned u, unsigned index, u64 address, u32 data);
void *oracle_ir_state(size_t *size);
u32 oracle_now(void); /* and a step further */

/* --- oracle_prq.c: page requests --- */
void oracle_prq_start(void);
/* Does the function wait for an answer already? Then it will ask again once it has got it. */
bool oracle_page_waits(unsigned f, u32 pasid, u16 group);
/* It has sent this, and the unit has taken it, refused it, or had no room. */
enum oracle_page { PAGE_TAKEN, PAGE_REFUSED, PAGE_NO_ROOM };
void oracle_page_asked(unsigned f, const struct model_page_request *r, enum oracle_page what);
void oracle_page_again(const struct model_event *e);
/* What the guest has not got yet, or any answer, may not come any more; it has forgotten what it has asked.
 */
void oracle_pages_going(unsigned f);
void oracle_pages_gone(unsigned f);
/* A group (number n of them, in any order) that the guest has found in its queue and not answered. */
struct oracle_owed {
    unsigned f;
    u32 pasid; /* or MODEL_NO_PASID */
    u16 group;
};
bool oracle_page_owed(unsigned n, struct oracle_owed *o);
/* The guest answers it on unit u. Returns its id, 0 if nobody waits for that. */
u32 oracle_page_answer(unsigned u, const struct oracle_owed *o, unsigned code);
/* Is this an answer that has got to a function, and it asks again at once? */
bool oracle_page_heard(const struct model_event *e, struct oracle_owed *o);
void oracle_prq_end(void);
void *oracle_prq_state(size_t *size);

#endif
