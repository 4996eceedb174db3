/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In-memory structures of legacy mode (9.1, 9.3, 9.8): the one definition of their layout, for the guest's
 * tables and for ours.
 */
#ifndef IOMMU_TABLES_H
#define IOMMU_TABLES_H

#include "arch/types.h"

struct root_entry {
    u64 lo, hi; /* hi is reserved */
};
_Static_assert(sizeof(struct root_entry) == 16, "9.1");
#define ROOT_P   BIT(0)
#define ROOT_CTP MASK(63, 12)

struct context_entry {
    u64 lo, hi;
};
_Static_assert(sizeof(struct context_entry) == 16, "9.3");
#define CTX_P       BIT(0)
#define CTX_FPD     BIT(1)
#define CTX_TT      MASK(3, 2)
#define CTX_SSPTPTR MASK(63, 12)
#define CTX_LO_RSVD MASK(11, 4)
#define CTX_AW      MASK(2, 0) /* high quadword from here on; levels - 2 */
#define CTX_DID     MASK(23, 8)
#define CTX_HI_RSVD (BIT(7) | MASK(63, 24))

enum {
    TT_SECOND_STAGE = 0, /* translation and translated requests are blocked */
    TT_ATS = 1,          /* they are allowed: this is the ATS gate */
    TT_PASS_THROUGH = 2,
};

/* --- scalable mode (9.2, 9.4 to 9.6) --- */
/* Root: the low quadword serves devices 0 to 15, the high one devices 16 to 31; each is P and a table
 * pointer. */
/* Context: 32 bytes, of which the upper 16 are reserved. */
#define SMCTX_DTE       BIT(2)
#define SMCTX_PASIDE    BIT(3)
#define SMCTX_PRE       BIT(4)
#define SMCTX_PDTS      MASK(11, 9) /* the directory has 2^(PDTS + 7) entries */
#define SMCTX_DIRPTR    MASK(63, 12)
#define SMCTX_LO_RSVD   MASK(8, 5)
#define SMCTX_RID_PASID MASK(19, 0)  /* high quadword */
#define SMCTX_HI_RSVD   MASK(63, 20) /* RID_PRIV too: supervisor requests are not announced */

/* PASID directory: 8 bytes an entry, one for 64 PASIDs. */
#define PDIR_P    BIT(0)
#define PDIR_FPD  BIT(1)
#define PDIR_PTR  MASK(63, 12)
#define PDIR_RSVD MASK(11, 2)

struct pasid_entry {
    u64 q[8];
};
_Static_assert(sizeof(struct pasid_entry) == 64, "9.6");
#define PASIDS_PER_TABLE 64
#define PE_P             BIT(0) /* q[0] */
#define PE_FPD           BIT(1)
#define PE_AW            MASK(4, 2)
#define PE_PGTT          MASK(8, 6)
#define PE_SSPTPTR       MASK(63, 12)
#define PE_Q0_RSVD       (BIT(5) | MASK(11, 9)) /* SSADE is not announced */
#define PE_DID           MASK(15, 0)            /* q[1] */
#define PE_PWSNP         BIT(23)
#define PE_PGSNP         BIT(24)
#define PE_Q1_RSVD       (MASK(22, 16) | MASK(31, 30)) /* memory types, between them, are ignored without MTS */
#define PE_FSPM          MASK(3, 2)                    /* q[2]: levels - 4 */
#define PE_NXE           BIT(5) /* the no-execute bit of first-stage entries is not reserved; drivers set it */
#define PE_FSPTPTR       MASK(63, 12)
#define PE_Q2_RSVD       (MASK(1, 0) | MASK(11, 6)) /* SRE and EAFE too: neither is announced */
enum { PGTT_FIRST = 1, PGTT_SECOND = 2, PGTT_NESTED = 3, PGTT_PASS_THROUGH = 4 };

/* --- page request (7.4.1) --- */
struct page_request {
    u64 q[4]; /* the upper two are reserved */
};
#define PQE_PP    BIT(8) /* q[0]: it carries a PASID */
#define PQE_RID   MASK(31, 16)
#define PQE_PASID MASK(51, 32)
#define PQE_LAST  BIT(2) /* q[1]: of its group, which is answered as a whole */
#define PQE_PRGI  MASK(11, 3)

/* --- interrupt remapping (9.9) --- */
struct irte {
    u64 lo, hi;
};
_Static_assert(sizeof(struct irte) == 16, "9.9");
#define IRTE_P       BIT(0)
#define IRTE_FPD     BIT(1)
#define IRTE_DM      BIT(2)
#define IRTE_RH      BIT(3)
#define IRTE_TM      BIT(4)
#define IRTE_DLM     MASK(7, 5)
#define DLM_EXTINT   7
#define IRTE_IM      BIT(15) /* posted: not announced, so reserved */
#define IRTE_VECTOR  MASK(23, 16)
#define IRTE_LO_RSVD (MASK(14, 12) | IRTE_IM | MASK(31, 24))
#define IRTE_HI_RSVD MASK(63, 20)

/* Second-stage paging entry. Present when it may be read or written. */
#define SS_R    BIT(0)
#define SS_W    BIT(1)
#define SS_PERM (SS_R | SS_W)
#define SS_PS   BIT(7) /* leaf at level 2 or 3 */
#define SS_SNP  BIT(11)
#define SS_ADDR MASK(51, 12)
#define SS_RSVD BIT(62)
#define SS_SOFT_SPLIT \
    BIT(52) /* ignored by hardware (61:52); ours: this table stands for one guest superpage */

/* First-stage paging entry (9.7): present and write are where read and write are in the other stage. */
#define FS_P  BIT(0)
#define FS_RW BIT(1)
#define FS_US BIT(2)
#define FS_A  BIT(5)
#define FS_D  BIT(6)
#define FS_PS BIT(7)

#define TABLE_ORDER 9
#define ENTRIES     (1u << TABLE_ORDER)

/* log2 of the bytes that one entry of a table at `level` (1 = lowest) stands for. */
static inline unsigned level_shift(unsigned level)
{
    return PAGE_SHIFT + 9 * (level - 1);
}

#endif
