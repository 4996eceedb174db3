/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hv/ may ask of the VT-d layer. Physical addresses are guest-physical too (they are equal). A function
 * is named by PCI segment and source-id (bus 15:8, device 7:3, function 2:0).
 */
#ifndef IOMMU_IOMMU_H
#define IOMMU_IOMMU_H

#include "arch/types.h"

/* Who gets device-TLB flushes (docs/design.md): always is the promise; the others are unsafe, for measuring.
 */
enum dtlb_policy {
    DTLB_ALWAYS, /* with every flush that covers an ATS function, whatever the guest sent */
    DTLB_GUEST,  /* only what the guest sends */
    DTLB_CM,     /* caching mode as the contract: added only for what CM covers while CM=1 is announced */
};

enum ats_policy {
    ATS_OFF,    /* no gate ever opens */
    ATS_LISTED, /* functions below a root port that the ATSR names */
    ATS_ALL,
};

struct iommu_options {
    enum dtlb_policy dtlb;
    enum ats_policy ats;
    /* A guest's first-stage table is used as it is where the unit cannot put it on top of one of ours: its
     * devices are not contained. */
    u32 direct;
    u32 no_caching_mode; /* the guest need not flush what becomes present: first-stage tables only */
    u32 strict;          /* interrupts in compatibility format never pass */
    u8 dtlb_hint;        /* ECAP bit that says "device-TLB invalidation is implied"; 0 = none */
    /* How long an exit waits for the hardware before it arms the completion event and re-enters the guest, in
     * microseconds; 0 = never wait in the exit, always by event. */
    u32 wait_us;
};

/*
 * Parses the DMAR (`dmar` = the whole table, `size` bytes). 0, or a negative error after logging one line
 * that says what is wrong with it. Touches no hardware.
 */
int iommu_parse(const void *dmar, size_t size) __must_check;

/* After iommu_parse(): the register windows (4K-aligned), which hv/ must trap and keep out of every DMA map,
 * and the RMRRs (bytes, inclusive end turned into a size). Return false past the last one. */
bool iommu_window(unsigned i, u64 *base, u64 *size);
bool iommu_rmrr(unsigned i, u64 *base, u64 *size);

/* Does firmware reserve memory for this function? */
bool iommu_rmrr_device(u16 segment, u16 sid);

/*
 * The first start, before anything else. iommu_guard() keeps devices out of [base, base+size), where Sluice
 * is, until units translate; *bare is set when there is a unit that can do nothing of the kind, so that
 * devices themselves have to be stopped. iommu_shut_out() then turns translation on with tables that lead to
 * nothing but RMRRs.
 */
int iommu_guard(u64 base, u64 size, bool *bare) __must_check;
int iommu_shut_out(void) __must_check;

/*
 * Takes the units over from firmware, whatever it left on, and turns translation on with the contained
 * identity map for every bus/devfn. 0, or a negative error after logging what is missing. From here on no
 * device reaches what env_dma_allowed() denies.
 */
int iommu_protect(const struct iommu_options *options) __must_check;

/* One guest access to the window of unit i, which it begins in, as the guest made it. */
u64 iommu_read(unsigned i, u64 gpa, unsigned width);
void iommu_write(unsigned i, u64 gpa, unsigned width, u64 value);

/* A unit's event arrived (NMI), or time has passed: completes what is done, reports faults, goes on with
 * queues that waited. False: no unit had anything to say, the NMI is the guest's. */
bool iommu_event(void);
/* May an event have come after what it tells of was seen? A fault that comes while others are collected is
 * collected with them. */
bool iommu_echo(void);

/* Is host work outstanding that only iommu_event() will finish? Asked after each exit, so most of the time
 * one look must do: iommu_left is set where anything is left to events, and cleared when nothing is found. */
extern bool iommu_left;
bool iommu_outstanding(void);
static inline bool iommu_busy(void)
{
    return unlikely(__atomic_load_n(&iommu_left, __ATOMIC_RELAXED)) && iommu_outstanding();
}

/*
 * The guest changes ATS enable. In both directions call it BEFORE the write reaches the device: the gate
 * opens before it may ask, and closes, with a whole device-TLB flush and wait, while it can still answer. A
 * second call with `on`, after the write, flushes what the device may have kept from an earlier life. depth =
 * ATS invalidate queue depth (0 means 32), pfsid = source-id of the physical function (of itself when it is
 * not a VF). pasid = its requests may carry PASIDs, so that it knows how to answer flushes that do; when that
 * changes with ATS on, it is told by the same two calls.
 */
void iommu_ats_change(u16 segment, u16 sid, bool on, u8 depth, u16 pfsid, bool pasid);

/* The function was reset or removed: its device TLB is empty and ATS is off. */
void iommu_function_gone(u16 segment, u16 sid);

/* Is the function quarantined, or its unit lost? Then it must not become a bus master. */
bool iommu_stopped(u16 segment, u16 sid);

/* [base, base+size) (4K-aligned) may now be reached by DMA, or no longer: env_dma_allowed() already says so.
 * The identity map and all shadows follow; when this returns, no cache holds the old state. */
void iommu_dma_changed(u64 base, u64 size);

/* A function is about to get bus mastering. Without caching mode the guest need not have told anybody that it
 * has made the function's entries present. */
void iommu_function_starts(u16 segment, u16 sid);

/*
 * intr=strict: a message that a function or an IOAPIC may send, as the guest programmed it in compatibility
 * format, and the interrupt entry that stands for it while the guest does not remap. What the guest
 * programmed is translated by hv/intr.c; what a device makes up itself is blocked.
 */
struct iommu_message {
    u32 address; /* 0xFEExxxxx; 0 = none */
    u32 source;  /* who may send it: SID, SQ and SVT as in an interrupt entry (9.9) */
    u16 data;
    u16 index; /* of the entry */
};
/* Who sends in the name of a bus, not of a function: what is behind a bridge to conventional PCI. */
#define IOMMU_SOURCE_EXACT BIT(18)
#define IOMMU_SOURCE_BUSES BIT(19) /* first bus in 15:8, last one in 7:0 */
/* It may pass on the interrupts of a conventional interrupt controller, which gives their vector itself. */
#define IOMMU_SOURCE_EXTINT BIT(31)
/* `count` of them in a row, for what the unit of `sid` remaps. NULL, told in one line: there are no more. */
struct iommu_message *iommu_messages(u16 segment, u16 sid, u32 source, unsigned count) __must_check;
/* When it returns, the entry says so and no cache holds the old one. */
void iommu_message_set(struct iommu_message *m, u32 address, u16 data);
/* The source-id of an IOAPIC of the MADT or an HPET, by its number there. False: firmware does not say which
 * unit remaps it. */
enum iommu_chipset { IOMMU_IOAPIC = 3, IOMMU_HPET = 4 }; /* types of device scopes (8.3.1) */
bool iommu_chipset(enum iommu_chipset type, u8 id, u16 *segment, u16 *sid);

/*
 * What goes on inside, for tools/inside.c: docs/hypercalls.md. A descriptor that a guest submitted or the
 * real unit was sent, with the TSC when its batch was fetched or built; the end of a batch; or a counter.
 */
struct inside_record {
    u64 time;
    u64 lo, hi; /* of the descriptor; counters: asked for by the guest, sent to the unit */
    u32 batch;  /* domains: the guest's domain-id */
    u16 id;     /* counters: kind, host domain-id or source-id */
    u8 unit;
    u8 what;
};
enum inside_what { INSIDE_GUEST, INSIDE_HOST, INSIDE_DONE, INSIDE_UNIT = 16, INSIDE_DOMAIN, INSIDE_FUNCTION };
enum inside_table { INSIDE_TRACE, INSIDE_COUNTERS };
/* At most `room` records from *at on, which moves behind them; ERR_NODEV when there is no such unit. Trace:
 * *at is the number of an entry since boot. Counters: a place in a sparse row, whose end is reached when
 * neither *at moves nor a record comes. */
int iommu_inside(enum inside_table table, u64 unit, u64 *at, struct inside_record *out,
                 unsigned room) __must_check;
void iommu_inside_show(void); /* the last entries, on the console */

/*
 * The invalidation call: IOTLB and device TLBs of what the array's entries name are flushed when it returns
 * (docs/hypercalls.md has the meaning of each field and value). `array`: guest-physical. *handled = entries
 * that were done; 0 is returned when that is all of them.
 */
struct iommu_invalidation {
    u64 address, pages; /* everything: 0 and ~0 */
    u32 flags, reserved;
    u32 result, hardware; /* written: enum invalidate_result, INVALIDATE_ICE and _ITE */
};
_Static_assert(sizeof(struct iommu_invalidation) == 32, "docs/hypercalls.md");
#define INVALIDATE_LEAF     1u
#define INVALIDATE_MAX      1024 /* entries in one call */
#define INVALIDATE_NO_PASID ~0u
#define INVALIDATE_PASIDS   (1u << 20)
enum invalidate_result {
    INVALIDATE_DONE,
    INVALIDATE_ALIGNMENT,
    INVALIDATE_FLAGS,
    INVALIDATE_RESERVED,
    INVALIDATE_RANGE,
};
#define INVALIDATE_ICE 1u
#define INVALIDATE_ITE 2u
int iommu_invalidate(unsigned unit, u16 did, u32 pasid, u64 array, unsigned count,
                     unsigned *handled) __must_check;

/* The lines of the boot summary, logged one by one; and the counters of `make run`'s table:
 * "count unit=0 kind=<cc|iotlb|dtlb|iec|wait> guest=<n> host=<n>". */
void iommu_summary(void);
void iommu_counters(void);

/* Clears the DMAR flags that the virtual units do not announce (INTR_REMAP, X2APIC_OPT_OUT as needed); the
 * caller fixes the checksum. */
void iommu_edit_dmar(void *dmar, size_t size);

#endif
