/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers of a VT-d unit. The only place that knows an offset or a bit; section numbers are those of the
 * Intel VT-d architecture specification, revision 5.10. Masks are written as the specification writes them.
 */
#ifndef IOMMU_REGS_H
#define IOMMU_REGS_H

#include "arch/types.h"

/* --- offsets (11.4) --- */
#define REG_VER    0x000 /* version */
#define REG_CAP    0x008 /* capabilities, 64 */
#define REG_ECAP   0x010 /* extended capabilities, 64 */
#define REG_GCMD   0x018 /* global command, write-only */
#define REG_GSTS   0x01c /* global status */
#define REG_RTADDR 0x020 /* root table address, 64 */
#define REG_CCMD   0x028 /* context command, 64 */
#define REG_FSTS   0x034 /* fault status */
#define REG_FECTL  0x038 /* fault event control; DATA +4, ADDR +8, UADDR +12 */
#define REG_PMEN   0x064 /* protected memory enable */
#define REG_IQH    0x080 /* invalidation queue head, 64 */
#define REG_IQT    0x088 /* invalidation queue tail, 64 */
#define REG_IQA    0x090 /* invalidation queue address, 64 */
#define REG_ICS    0x09c /* invalidation completion status */
#define REG_IECTL  0x0a0 /* invalidation event control; DATA +4, ADDR +8, UADDR +12 */
#define REG_IQERCD 0x0b0 /* invalidation queue error record, 64 */
#define REG_IRTA   0x0b8 /* interrupt remapping table address, 64 */
#define REG_PQH    0x0c0 /* page request queue head, 64 */
#define REG_PQT    0x0c8 /* page request queue tail, 64 */
#define REG_PQA    0x0d0 /* page request queue address, 64 */
#define REG_PRS    0x0dc /* page request status */
#define REG_PECTL  0x0e0 /* page request event control; DATA +4, ADDR +8, UADDR +12 */

/* Protected low memory. */
#define REG_PLMBASE  0x068
#define REG_PLMLIMIT 0x06c

/* A message register group, relative to its control register. */
#define MSG_DATA  4
#define MSG_ADDR  8
#define MSG_UADDR 12
#define MSG_IM    BIT(31) /* masked */
#define MSG_IP    BIT(30) /* pending */

/* Relative to IRO. */
#define REG_IVA   0x0
#define REG_IOTLB 0x8

/* --- CAP (11.4.2) --- */
#define CAP_ND     MASK(2, 0) /* domain-ids have 4 + 2 * ND bits */
#define CAP_RWBF   BIT(4)
#define CAP_PLMR   BIT(5)
#define CAP_PHMR   BIT(6)
#define CAP_CM     BIT(7)
#define CAP_SAGAW  MASK(12, 8)  /* bit 1: 39-bit, 2: 48-bit, 3: 57-bit */
#define CAP_MGAW   MASK(21, 16) /* width - 1 */
#define CAP_ZLR    BIT(22)
#define CAP_FRO    MASK(33, 24) /* x 16 */
#define CAP_SSLPS  MASK(37, 34) /* bit 0: 2M, bit 1: 1G */
#define CAP_PSI    BIT(39)
#define CAP_NFR    MASK(47, 40) /* records - 1 */
#define CAP_MAMV   MASK(53, 48)
#define CAP_DWD    BIT(54)
#define CAP_DRD    BIT(55)
#define CAP_FS1GP  BIT(56) /* first-stage superpages of 1G */
#define CAP_FS5LP  BIT(60) /* first-stage tables of five levels */
#define CAP_ESRTPS BIT(63)

#define CAP_ESIRTPS BIT(62)

/* --- ECAP (11.4.3) --- */
#define ECAP_C     BIT(0) /* page walks are coherent */
#define ECAP_QI    BIT(1)
#define ECAP_DT    BIT(2) /* device-TLBs */
#define ECAP_IR    BIT(3)
#define ECAP_EIM   BIT(4)
#define ECAP_PT    BIT(6)
#define ECAP_SC    BIT(7)      /* snoop control */
#define ECAP_IRO   MASK(17, 8) /* x 16 */
#define ECAP_MHMV  MASK(23, 20)
#define ECAP_NEST  BIT(26)
#define ECAP_PRS   BIT(29)      /* page requests */
#define ECAP_PSS   MASK(39, 35) /* PASID bits - 1 */
#define ECAP_PASID BIT(40)
#define ECAP_DIT   BIT(41) /* device-TLB descriptors carry a PFSID */
#define ECAP_PDS   BIT(42) /* a wait can drain page requests */
#define ECAP_SMTS  BIT(43) /* scalable mode */
#define ECAP_SSTS  BIT(46) /* second-stage translation in scalable mode */
#define ECAP_FSTS  BIT(47) /* first-stage translation */
#define ECAP_SMPWC BIT(48) /* scalable-mode walks can be coherent */
#define ECAP_RPS   BIT(49) /* requests without PASID may have another than 0 */

/* --- GCMD and GSTS (11.4.4) --- */
#define GCMD_TE    BIT(31)
#define GCMD_SRTP  BIT(30)
#define GCMD_WBF   BIT(27)
#define GCMD_QIE   BIT(26)
#define GCMD_IRE   BIT(25)
#define GCMD_SIRTP BIT(24)
#define GCMD_CFI   BIT(23)
/* What GSTS shows of one-shot commands must not be written back with the next command. */
#define GSTS_PERSISTENT 0x96ffffffu

/* --- RTADDR (11.4.5) --- */
#define RTADDR_RTA   MASK(63, 12)
#define RTADDR_TTM   MASK(11, 10)
#define TTM_LEGACY   0
#define TTM_SCALABLE 1
#define TTM_RESERVED 2
#define TTM_ABORT    3

/* --- CCMD and IOTLB, register-based invalidation (11.4.6) --- */
#define CCMD_ICC   BIT(63)
#define CCMD_CIRG  MASK(62, 61) /* 1 global, 2 domain, 3 device */
#define CCMD_CAIG  MASK(60, 59)
#define CCMD_FM    MASK(33, 32)
#define CCMD_SID   MASK(31, 16)
#define CCMD_DID   MASK(15, 0)
#define IOTLB_IVT  BIT(63)
#define IOTLB_IIRG MASK(61, 60) /* 1 global, 2 domain, 3 page */
#define IOTLB_IAIG MASK(58, 57)
#define IOTLB_DID  MASK(47, 32)
#define IVA_ADDR   MASK(63, 12)
#define IVA_AM     MASK(5, 0)

/* --- FSTS and fault records (11.4.7) --- */
#define FSTS_PFO BIT(0)
#define FSTS_PPF BIT(1)
#define FSTS_IQE BIT(4)
#define FSTS_ICE BIT(5)
#define FSTS_ITE BIT(6)
#define FSTS_FRI MASK(15, 8)
/* A fault record is two quadwords; the dword with F is the last of its 16 bytes. */
#define FRCD_FI       MASK(63, 12) /* low quadword: page of the faulting address */
#define FRCD_SID      MASK(15, 0)  /* high quadword from here on */
#define FRCD_IR_INDEX MASK(63, 48) /* low quadword, interrupt faults */
#define FRCD_T2       BIT(28)
#define FRCD_PP       BIT(31) /* the request had a PASID */
#define FRCD_PV       MASK(59, 40)
#define FRCD_FR       MASK(39, 32)
#define FRCD_T1       BIT(62)
#define FRCD_F        BIT(63)
#define FRCD_COPY     (MASK(15, 0) | MASK(63, 28)) /* everything but reserved bits */

/* --- protected memory (11.4.8) --- */
#define PMEN_EPM BIT(31)
#define PMEN_PRS BIT(0)

/* --- invalidation queue (11.4.9) --- */
#define IQT_QT        MASK(18, 4)
#define IQT_DW_RSVD   BIT(4) /* must be 0 with 256-bit descriptors */
#define IQA_IQA       MASK(63, 12)
#define IQA_DW        BIT(11)
#define IQA_QS        MASK(2, 0) /* 2^QS pages */
#define ICS_IWC       BIT(0)
#define IQERCD_IQEI   MASK(3, 0)
#define IQERCD_ITESID MASK(47, 32)

/* --- interrupt remapping (11.4.10) --- */
#define IRTA_IRTA MASK(63, 12)
#define IRTA_EIME BIT(11)    /* x2APIC destinations */
#define IRTA_S    MASK(3, 0) /* 2^(S + 1) entries */

/* --- page requests (11.4.11) --- */
#define PQ_OFFSET MASK(18, 5) /* PQH, PQT */
#define PQA_PQA   MASK(63, 12)
#define PQA_PQS   MASK(2, 0) /* 2^PQS pages */
#define PRS_PPR   BIT(0)
#define PRS_PRO   BIT(1)

/* IQEI codes (11.4.9.9). */
enum iqei {
    IQEI_NONE = 0,
    IQEI_TAIL = 1,     /* tail beyond the queue */
    IQEI_FETCH = 2,    /* the queue cannot be read */
    IQEI_TYPE = 3,     /* descriptor type */
    IQEI_RESERVED = 4, /* reserved field */
    IQEI_WIDTH = 5,    /* IQA.DW against the table mode */
    IQEI_ALIGN = 6,    /* tail not aligned to the descriptor width */
    IQEI_TTM = 7,
};

/* Fault reasons (7.1.3), legacy and scalable mode. */
enum fault_reason {
    FAULT_NONE = 0,
    FAULT_ROOT_NOT_PRESENT = 0x1,
    FAULT_CONTEXT_NOT_PRESENT = 0x2,
    FAULT_CONTEXT_INVALID = 0x3,
    FAULT_WIDTH = 0x4, /* the address has more bits than the tables translate */
    FAULT_SS_NO_WRITE = 0x5,
    FAULT_SS_NO_READ = 0x6,
    FAULT_SS_ACCESS = 0x7,      /* a second-stage table cannot be read */
    FAULT_ROOT_ACCESS = 0x8,    /* the root table cannot be read */
    FAULT_CONTEXT_ACCESS = 0x9, /* the context table cannot be read */
    FAULT_ROOT_RESERVED = 0xa,
    FAULT_CONTEXT_RESERVED = 0xb,
    FAULT_SS_RESERVED = 0xc,
    FAULT_ATS_BLOCKED = 0xd, /* the context entry lets the function use no ATS */
    FAULT_INTERRUPT_RANGE = 0xe,

    FAULT_IR_INDEX = 0x21, /* beyond the table */
    FAULT_IR_NOT_PRESENT = 0x22,
    FAULT_IR_ACCESS = 0x23,
    FAULT_IR_RESERVED = 0x24,
    FAULT_IR_FIRST = 0x20,
    FAULT_IR_LAST = 0x26,

    FAULT_TTM = 0x30,          /* a table mode that there is not */
    FAULT_LEGACY_PASID = 0x31, /* a request with a PASID in legacy mode */
    FAULT_ABORT = 0x33,        /* abort-DMA mode */
    FAULT_SM_ROOT_ACCESS = 0x38,
    FAULT_SM_ROOT_NOT_PRESENT = 0x39,
    FAULT_SM_ROOT_RESERVED = 0x3a,
    FAULT_SM_CONTEXT_ACCESS = 0x40,
    FAULT_SM_CONTEXT_NOT_PRESENT = 0x41,
    FAULT_SM_CONTEXT_RESERVED = 0x42,
    FAULT_SM_ATS_BLOCKED = 0x44,
    FAULT_SM_PASID_BLOCKED = 0x45,
    FAULT_SM_PAGES_BLOCKED = 0x47, /* it sends page requests, which its entry does not allow */
    FAULT_SM_PASID_LARGE = 0x46,
    FAULT_SM_RID_PASID = 0x48,
    FAULT_SM_DIR_ACCESS = 0x50,
    FAULT_SM_DIR_NOT_PRESENT = 0x51,
    FAULT_SM_DIR_RESERVED = 0x52,
    FAULT_SM_PASID_ACCESS = 0x58,
    FAULT_SM_PASID_NOT_PRESENT = 0x59,
    FAULT_SM_PASID_RESERVED = 0x5a,
    FAULT_SM_PASID_INVALID = 0x5b,
    FAULT_SM_FS_ACCESS = 0x70, /* a first-stage table cannot be read */
    FAULT_SM_FS_NOT_PRESENT = 0x71,
    FAULT_SM_FS_TOP_ACCESS = 0x73,
    FAULT_SM_NEST_FIRST =
        0x74, /* to 0x7b: the second stage has stopped the walk of the first, or its result */
    FAULT_SM_SS_ACCESS = 0x78,
    FAULT_SM_SS_NOT_PRESENT = 0x79,
    FAULT_SM_SS_RESERVED = 0x7a,
    FAULT_SM_SS_TOP_ACCESS = 0x7b,
    FAULT_SM_NEST_LAST = 0x7b,
    FAULT_SM_FS_CANONICAL = 0x80,
    FAULT_SM_WIDTH = 0x83,
    FAULT_SM_SS_WIDTH = 0x84,
    FAULT_SM_NO_WRITE = 0x85,
    FAULT_SM_NO_READ = 0x86,
    FAULT_SM_INTERRUPT_RANGE = 0x87,
};

#endif
