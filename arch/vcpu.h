/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual CPU and the narrow interface behind which svm/ and vmx/ sit. Everything above arch/ is one code
 * for both vendors: the backend turns its exits into these few kinds and handles the rest itself.
 */
#ifndef ARCH_VCPU_H
#define ARCH_VCPU_H

#include "arch/x86.h"

struct mtrr_state;

enum vcpu_exit_kind {
    VEXIT_UNKNOWN, /* an exit the guest cannot cause: a bug or broken hardware */
    VEXIT_AGAIN,   /* the backend has dealt with it: enter again */
    VEXIT_NESTED,  /* nested-paging fault */
    VEXIT_IO,      /* port access to an intercepted port */
    VEXIT_CPUID,
    VEXIT_RDMSR, /* MSR number in RCX */
    VEXIT_WRMSR,
    VEXIT_HYPERCALL, /* VMMCALL / VMCALL */
    VEXIT_VIRT_INSN, /* any other SVM/VMX instruction: the guest gets #UD */
    VEXIT_XSETBV,
    VEXIT_INVD, /* becomes WBINVD */
    VEXIT_NMI,  /* the host's handler has not run yet: take_nmi() */
    VEXIT_INIT,
    VEXIT_SHUTDOWN, /* triple fault */
};

struct vcpu_exit {
    enum vcpu_exit_kind kind;
    u64 gpa;    /* NESTED: the address the CPU reported */
    u64 access; /* NESTED: NESTED_*, and other bits */
    u16 port;   /* IO */
    u8 io_size; /* 1, 2, 4 */
    bool io_in, io_string;
    u64 next_rip;           /* IO, and where the CPU tells: the following instruction; 0 = not told */
    u64 code, info1, info2; /* raw, for reports */
};

/* An event in the form that both vendors have (APM 2, 15.20; SDM 3C, 25.8.3), with AMD's place for the code.
 */
#define EVENT_VECTOR   MASK(7, 0)
#define EVENT_TYPE     MASK(10, 8)
#define EVENT_HAS_CODE BIT(11)
#define EVENT_VALID    BIT(31)
#define EVENT_CODE     MASK(63, 32)
enum { EVENT_INTERRUPT, EVENT_NMI = 2, EVENT_HARD, EVENT_SOFT_INT, EVENT_PRIV, EVENT_SOFT };

/* What the access was, as in AMD's EXITINFO1 (APM 2, 15.25.6). */
#define NESTED_WRITE    BIT(1)
#define NESTED_FETCH    BIT(4)
#define NESTED_DELIVERY BIT(31) /* ours: of an event's delivery, which is tried again at entry */
#define NESTED_WALK     BIT(33) /* the CPU's own walk of the guest's tables, not the instruction's operand */
#define NESTED_KIND     (NESTED_WRITE | NESTED_FETCH | NESTED_DELIVERY | NESTED_WALK)

/* In the order of AMD's VMCB. */
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, NR_SEG };
enum { SEG_GDTR = NR_SEG, SEG_LDTR, SEG_IDTR, SEG_TR, NR_TABLES };

/* Registers of the guest that the backend keeps. CPL is only read. */
enum vcpu_reg { REG_CR0, REG_CR3, REG_CR4, REG_EFER, REG_PAT, REG_TSC_OFFSET, REG_CR2, REG_CPL };

struct vcpu_segment {
    u16 selector;
    u16 attrib; /* bits as in AMD's VMCB: type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11 */
    u32 limit;
    u64 base;
};

/* In which state a guest starts. */
enum vcpu_start_mode {
    START_REAL,   /* after SIPI: CS = vector << 8 */
    START_PROT32, /* flat 32-bit segments, paging off: PVH, multiboot */
    START_LONG64, /* flat 64-bit segments, cr3 given: Linux's 64-bit protocol */
};

struct vcpu_start {
    enum vcpu_start_mode mode;
    u64 gpr[NR_GPR];
    u64 rip;
    u64 cr3;      /* LONG64: guest-physical */
    u64 gdt_base; /* guest-physical, 0 = none; holds the flat segments at 0x08/0x10 (PROT32), 0x10/0x18
                     (LONG64) */
    u16 gdt_limit;
    u8 sipi_vector; /* REAL */
};

/* What decides how the guest's addresses and instruction bytes are read. Equal means: read the same way. */
struct vcpu_mode {
    u64 cr0, cr3, cr4, efer;
    u64 cs_base; /* 0 in 64-bit code */
    u16 cs_attrib;
    u8 cpl;
    bool v86;
};

struct vcpu {
    u64 gpr[NR_GPR]; /* valid between run() and the next run(); RSP, RAX included */
    u64 rip;
    u64 rflags;
    u32 index;             /* of its CPU */
    struct vcpu_exit exit; /* the last */
    void *backend;         /* the backend's own state: VMCB page and so on */
    void *emulator;        /* hv/fetch.c's */
    /* Of vcpu_inject_...(), which see to it that the backend looks before the next entry. */
    u64 event;        /* what that entry delivers: EVENT_*; 0 = nothing */
    bool nmi_pending; /* waits until the guest can take it */
    bool shutdown;    /* a fault on the way into the double-fault handler */
    bool attention;
    unsigned mismatches;              /* hv/mmio.c: accesses in a row that found other bytes */
    u64 exits, apic_exits, eoi_exits; /* the last two: writes to the APIC's page, in xAPIC mode */

    /* Shared with other CPUs. */
    u32 requests;  /* VCPU_* */
    bool in_guest; /* or about to be: requests have been looked at */
    bool kicked;   /* an NMI of ours is on its way here */
    u8 apic_ldr;   /* logical destination and its format, in xAPIC mode */
    u8 apic_dfr;
    bool apic_off; /* as the guest sees it */
};

/* What other CPUs may ask; vcpu_take_requests() takes all but VCPU_WAITING, which is a state. */
#define VCPU_VECTOR  0xffu /* of VCPU_SIPI */
#define VCPU_SIPI    0x100u
#define VCPU_INIT    0x200u
#define VCPU_WAITING 0x400u /* for a start-up message */
#define VCPU_NMI     0x800u
#define VCPU_FLUSH   0x1000u /* the nested table has changed */
#define VCPU_MTRRS   0x2000u
#define VCPU_STOP    0x4000u

struct vcpu_backend {
    const char *name; /* "SVM", "VMX" */
    u8 hypercall[3];  /* the instruction behind VEXIT_HYPERCALL */

    /* Once, after cpu_probe() has found nothing. */
    void (*init)(void);
    /* On each CPU: switches virtualisation on, and makes its virtual CPU. */
    int (*vcpu_create)(struct vcpu *v);

    /* For vcpu_start(): everything that the calls below do not set, and v does not hold. */
    void (*reset)(struct vcpu *v);
    /* As the guest sees them, and as judged by the caller. */
    u64 (*get)(struct vcpu *v, enum vcpu_reg reg);
    void (*set)(struct vcpu *v, enum vcpu_reg reg, u64 value);
    void (*get_segment)(struct vcpu *v, unsigned seg, struct vcpu_segment *out);
    void (*set_segment)(struct vcpu *v, unsigned seg, const struct vcpu_segment *in);
    /* Would 64-bit code, of whatever privilege, be read and decoded as in that mode? */
    bool (*reads_code_as)(struct vcpu *v, const struct vcpu_mode *mode);

    /* Enters the guest and returns at the next exit, which v->exit tells of. GIF=0 (no NMI taken) from exit
     * to entry. */
    void (*run)(struct vcpu *v);

    /* Lets one pending NMI reach the host's own handler. */
    void (*take_nmi)(struct vcpu *v);

    /* Writes the byte that raises an SMI, outside of guest mode. True: an NMI came meanwhile and was taken by
     * the host's handler. NULL: the guest may raise SMIs by itself. */
    bool (*software_smi)(u16 port, u8 value);

    /* After an instruction was emulated and RIP moved: ends an interrupt shadow, and raises the #DB that
     * RFLAGS.TF asks for. */
    void (*retired)(struct vcpu *v);

    /* Ports and MSRs exit only where asked for: a bit for each port, for vcpu_trap(). Default: no port exits,
     * every MSR not declared exits. */
    u8 *ports;
    void (*pass_msr)(u32 msr, bool read, bool write);

    /* The next run() returns after at most about `us` microseconds, whatever the guest does. NULL: this CPU
     * has no means for that. */
    void (*exit_within)(struct vcpu *v, u32 us);

    /* On the CPU of v: what it remembers of the nested table is gone at the next entry. */
    void (*nested_flush)(struct vcpu *v);

    /* Halts this CPU, NMIs let in, until one comes or v->requests is not `unless` any more. */
    void (*idle)(struct vcpu *v, u32 unless);

    /* These are all CPUs' MTRRs now: the nested table and what the CPUs remember of it follow. NULL: CPUs do
     * so themselves. */
    void (*mtrrs_changed)(const struct mtrr_state *now);

    /* Entry format of the nested table. level 1 = 4K, 2 = 2M, 3 = 1G. In both vendors' formats 0 is not
     * present, bit 0 present, bit 1 writable, bit 7 a leaf above level 1, and 51:12 the address.
     * A leaf of 0 above level 1: the page has more than one memory type and must be split. */
    u64 (*nested_leaf)(u64 pa, unsigned level, bool write);
    u64 nested_link; /* what stands beside the address of a table */
    bool nested_1g;  /* set by init */

    /* What vcpu_dump() cannot know. */
    void (*dump)(struct vcpu *v);
};

/*
 * The guest's memory by linear address, for backends whose CPU leaves a part of an instruction to them; set
 * by hv/ before a guest runs. `mode` says how addresses are translated. False: a page fault has been
 * injected.
 */
extern bool (*vcpu_guest_access)(struct vcpu *v, const struct vcpu_mode *mode, u64 linear, void *data,
                                 unsigned size, bool write);

/* What both backends do alike. One bit of a bitmap that CPUs are using. */
void vcpu_trap(u8 *map, u32 bit, bool on);
/* The guest's state, for the report of what it died of. */
void vcpu_dump(struct vcpu *v);
/* Where the CPU was delivering another event (NESTED_DELIVERY), the two combine as in hardware: double fault,
 * then triple fault at the next entry. At most one per exit. */
void vcpu_inject_exception(struct vcpu *v, u8 vector, bool has_code, u32 code);
void vcpu_inject_page_fault(struct vcpu *v, u64 cr2, u32 code);
void vcpu_inject_nmi(struct vcpu *v); /* with NMI blocking kept: queued while the guest is in an NMI */
void vcpu_start(struct vcpu *v, const struct vcpu_start *start);
void vcpu_get_mode(struct vcpu *v, struct vcpu_mode *out);
/* MSRs whose guest value is not the CPU's: EFER, as judged by the caller, PAT, and the TSC's, which is the
 * real one plus an offset, as it must not move Sluice's own clock. False: #GP. */
bool vcpu_read_msr(struct vcpu *v, u32 msr, u64 *value) __must_check;
bool vcpu_write_msr(struct vcpu *v, u32 msr, u64 value) __must_check;

/* NULL from the first index on that no CPU has. */
struct vcpu *vcpu_of(u32 index);

/* Asks it of one CPU, which does it before its next entry. */
void vcpu_request(struct vcpu *v, u32 what);

/* INIT, and a start-up message, which only a CPU that waits for one takes. */
void vcpu_init_ipi(struct vcpu *v);
void vcpu_sipi(struct vcpu *v, u8 vector);

/* On its own CPU. */
u32 vcpu_take_requests(struct vcpu *v);

/* When this returns, no other CPU is in the guest that has not done it first. */
void vcpu_request_others(u32 what);

/* After a change of the nested table: no CPU uses the old one when this returns. */
void vcpu_flush_all(void);

/* Before the machine stops or is reset: the others leave the guest for good, if they still can. */
void vcpu_stop_others(void);

/* Before each entry. True: there are requests, to be served first. */
static inline bool vcpu_asked(struct vcpu *v)
{
    (void)__atomic_exchange_n(&v->in_guest, true, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&v->requests, __ATOMIC_RELAXED);
}

/* After each exit. */
static inline void vcpu_out(struct vcpu *v)
{
    __atomic_store_n(&v->in_guest, false, __ATOMIC_RELEASE);
}

extern struct vcpu_backend svm_backend, vmx_backend;

/* Chosen once at boot, by CPUID. */
extern const struct vcpu_backend *vcpu_ops;

#endif
