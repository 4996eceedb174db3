/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's way to configuration space. pci_cfg.c turns ports and ECAM into single accesses under one lock,
 * pci_filter.c judges each write and performs it, pci_decode.c keeps what a function decodes clear of what
 * must not be covered, pci_table.c remembers the functions, intr.c translates the interrupts they send.
 */
#ifndef HV_PCI_H
#define HV_PCI_H

#include "arch/pci.h"
#include "arch/types.h"

/* Registers of the common header and of capabilities, by their names in the PCI specifications. */
enum {
    PCI_COMMAND = 0x04,
    PCI_CLASS_REVISION = 0x08,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_PRIMARY_BUS = 0x18, /* then secondary, subordinate */
    PCI_MEMORY_BASE = 0x20, /* bridge windows up to 0x2f */
    PCI_PREF_BASE = 0x24,
    PCI_PREF_BASE_UPPER = 0x28,
    PCI_PREF_LIMIT_UPPER = 0x2c,
    PCI_ROM = 0x30,
    PCI_BRIDGE_ROM = 0x38,
    PCI_BRIDGE_CONTROL = 0x3e,

    PCI_CAP_PM = 0x01,
    PCI_CAP_MSI = 0x05,
    PCI_CAP_EXP = 0x10,
    PCI_CAP_MSIX = 0x11,
    PCI_CAP_AF = 0x13,
    PCI_EXT_CAP_ATS = 0x0f,
    PCI_EXT_CAP_SRIOV = 0x10,
    PCI_EXT_CAP_REBAR = 0x15,
    PCI_EXT_CAP_PASID = 0x1b,
    PCI_EXT_CAP_VF_REBAR = 0x24,
};
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_MASTER BIT(2)
#define PCI_ATS_ENABLE     BIT(15) /* of the control register at +6 */
#define PCI_ATS_STU        MASK(4, 0)
#define PCI_PASID_ENABLE   BIT(0) /* of the control register at +6 */
#define PCI_SRIOV_VFE      BIT(0) /* of the control register at +8 */
#define PCI_SRIOV_VF_MSE   BIT(3)

struct pci_apertures {
    unsigned count;
    struct pci_aperture {
        u64 base, size;
    } at[7]; /* six BARs and a ROM */
};

/*
 * One thing that decodes memory: a function's BARs, ROM and bridge windows behind the command register's
 * memory enable, or its VFs' BARs behind VF MSE.
 */
struct pci_decoder {
    u32 control;                   /* 16-bit register; 0 = there is no such decoder */
    u16 on;                        /* decodes while all of these are set */
    u16 gate;                      /* the one of them that is withheld */
    bool withheld;                 /* the guest wants it on, but it would cover what must not be covered */
    struct pci_apertures declared; /* as ownership has them now */
};

struct pci_function {
    u16 segment;
    pci_sid sid;
    u32 id; /* vendor and device when it was looked at, ~0 for a VF */
    bool bridge;
    bool ats_told;                                                  /* iommu/ holds ATS to be on */
    u32 pm, exp, af, msi, msix, ats, pasid, sriov, rebar, vf_rebar; /* capabilities, 0 = absent */
    struct pci_decoder own, vf;
    /* intr=strict */
    struct iommu_message *messages;   /* of MSI, then of MSI-X */
    u16 nr_messages, nr_msi, nr_msix; /* how many there are, and how many of them are in use */
    u64 table_at;                     /* of MSI-X */
    const struct mmio_range *table;
};

/* ---- pci_table.c ---- */

#define PCI_MAX_FUNCTIONS 1024

/* Bus mastering off for all that firmware reserves no memory for. */
void pci_stop_masters(void);
/* Looks at every bus: fills the table, declares what functions decode, turns ATS off where firmware left it
 * on. Before protection starts. */
void pci_scan(void);
unsigned pci_function_count(void);

/* The function as it is now; an entry is made for one that has appeared. NULL: absent. */
struct pci_function *pci_function_get(u16 segment, pci_sid sid, bool *full);

/* Calls visit() for each known function on buses first..last of a segment. */
void pci_for_buses(u16 segment, u8 first, u8 last, void (*visit)(struct pci_function *));

/* Is that one of the VFs of pf, and which, from 0 on? */
bool pci_is_vf(const struct pci_function *pf, u16 segment, pci_sid sid, u32 *number);

/* Calls visit() for each known one. */
void pci_for_vfs(const struct pci_function *pf, void (*visit)(struct pci_function *));

/* The physical function behind a VF, else sid itself. */
pci_sid pci_physical_function(u16 segment, pci_sid sid);

static inline u32 pci_get(const struct pci_function *f, u32 off, unsigned width)
{
    return pci_read(f->segment, f->sid, off, width);
}

static inline void pci_put(const struct pci_function *f, u32 off, unsigned width, u32 value)
{
    pci_write(f->segment, f->sid, off, width, value);
}

/* One naturally aligned write of the guest. */
struct pci_access {
    u32 off;
    unsigned width;
    u32 value;
};

static inline bool pci_touches(const struct pci_access *a, u32 off, u32 size)
{
    return ranges_overlap(a->off, a->width, off, size);
}

/* What a register would hold after the write, were all its bits writable. */
u32 pci_after(const struct pci_function *f, const struct pci_access *a, u32 off, unsigned width);

/* ---- pci_decode.c ---- */

/* Performs a write that may change what f decodes: decode is off while addresses change and comes back only
 * when nothing fixed would be covered. False: the write is none of this decoder's business. */
bool pci_decode_write(struct pci_function *f, const struct pci_access *a);

/* At boot and for a function that has appeared: declares what it decodes. */
void pci_decode_adopt(struct pci_function *f);

/* ---- pci_filter.c ---- */

/* Judges and performs one guest write; width 1, 2 or 4, naturally aligned. The caller holds the lock. */
void pci_guest_write(u16 segment, pci_sid sid, u32 off, unsigned width, u32 value);

/* ---- intr.c: does nothing without intr=strict */

void intr_init(void);
/* Puts what the guest is to read where `value` was read. */
void intr_config_read(u16 segment, pci_sid sid, u32 off, unsigned width, u32 *value);
/* True: the write is done. False: it is none of MSI's messages, and still to be done. */
bool intr_config_write(struct pci_function *f, const struct pci_access *a);
/* What the function decodes has changed. */
void intr_follow(struct pci_function *f);

#endif
