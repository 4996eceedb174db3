/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world as iommu/ sees it: the only way out of this folder. The hypervisor implements it in hv/env.c, the
 * tests on the host beside the model.
 */
#ifndef IOMMU_ENV_H
#define IOMMU_ENV_H

#include "arch/types.h"

/* --- registers of a real unit: aligned accesses of the register's own width, in program order --- */
void *env_regs_map(u64 base, u64 size) __must_check; /* physical base, bytes; NULL = cannot be mapped */
u32 env_read32(void *regs, u32 off);
u64 env_read64(void *regs, u32 off);
void env_write32(void *regs, u32 off, u32 value);
void env_write64(void *regs, u32 off, u64 value);

/* --- guest memory --- */
/*
 * Guest-physical address `gpa` and what follows it to the end of its 4K page, or NULL when that is not RAM
 * the guest owns. The guest's CPUs write it at any time: whoever reads it reads each word once.
 */
volatile void *env_guest_ram(u64 gpa);

/*
 * May a device reach `addr` by DMA at all (guest RAM, RMRR, BAR aperture; never Sluice's memory, the units,
 * ECAM, IOAPIC, HPET, TPM, flash, SMRAM, the interrupt range)? *extent = for how many bytes from addr on the
 * answer holds, at least 4096; addr is 4K-aligned.
 */
bool env_dma_allowed(u64 addr, u64 *extent);

/* --- Sluice's own pages: zeroed, 4K-aligned; NULL when exhausted --- */
void *env_page_alloc(void) __must_check;
void env_page_free(void *page);
/* Contiguous, at boot only, never freed. */
void *env_pages_alloc(unsigned count) __must_check;
/* How many env_page_alloc() could still give; shadow tables leave a reserve to everyone else. */
size_t env_pages_available(void);
/* Eight bytes beside each page, for its owner: a page that hardware may still read cannot hold its own list
 * link. */
u64 *env_page_note(const void *page);
u64 env_phys(const void *page);
void *env_virt(u64 phys); /* of a page that env_page_alloc() gave */

/* Writes the cache lines of [p, p+len) back to memory, completed before the next register write (ECAP.C=0).
 */
void env_writeback(const void *p, size_t len);

/* One store into a table that hardware may be reading; it is seen there before the later ones. */
void env_store64(u64 *at, u64 value);

/* --- time and locks --- */
u64 env_now_us(void); /* monotonic */
u64 env_ticks(void);  /* the CPU's own counter, for traces */
void env_relax(void); /* inside a bounded wait loop */
struct env_lock {
    volatile u32 taken;
};
void env_lock_wait(struct env_lock *lock); /* another CPU has it: returns when it may be free */
static inline void env_lock(struct env_lock *lock)
{
    while (unlikely(__atomic_exchange_n(&lock->taken, 1, __ATOMIC_ACQUIRE)))
        env_lock_wait(lock);
}
static inline void env_unlock(struct env_lock *lock)
{
    __atomic_store_n(&lock->taken, 0, __ATOMIC_RELEASE);
}

/* --- interrupts --- */
/* The message (address, data) that makes a unit's event reach iommu_event() as an NMI. */
void env_event_message(u64 *address, u32 *data);
/* Sends what the guest programmed in its FEDATA/IEDATA; refuses (false) all but fixed and lowest-priority
 * vectors. */
bool env_send_interrupt(u64 address, u32 data);

/* --- PCI configuration: the path of a DMAR device scope leads through bridges; all ones where nobody is ---
 */
u32 env_pci_read32(u16 segment, u16 sid, u32 off);
u16 env_pci_physical(u16 segment, u16 sid);    /* the physical function of a VF, else sid itself */
void env_bus_master_off(u16 segment, u16 sid); /* the function sends no request of its own any more */

enum env_level { ENV_ERR, ENV_WARN, ENV_INFO, ENV_DEBUG };
void env_log(enum env_level level, const char *fmt, ...) __printf(2, 3);
/* As env_log, but for what a guest or a device can cause: rate-limited. */
void env_log_limited(enum env_level level, const char *fmt, ...) __printf(2, 3);

#endif
