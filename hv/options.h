/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sluice's command line. One table in options.c says each option's name, values and help; an unknown option
 * or value is refused at boot with one line.
 */
#ifndef HV_OPTIONS_H
#define HV_OPTIONS_H

#include "arch/log.h"
#include "iommu/iommu.h"

struct options {
    u64 memory;                 /* bytes of the region; 0 = default */
    struct iommu_options iommu; /* dtlb=, ats=, wait= */
    u32 iommu_off;              /* iommu=off: the guest runs unprotected */
    u32 shutdown_halt; /* on-shutdown=halt|reset: what a guest's triple fault does after the report */
};

extern struct options options;

/* Parses, sets log_threshold too. On error refuse()s, naming the word and the values it takes. */
void options_parse(const char *cmdline);

/* refuse()s where something failed at boot, which is for want of memory nearly always. */
static inline void need(int err, const char *what)
{
    if (err)
        refuse("%s failed (error %d); try a larger mem=", what, err);
}

/* Logs one line for each option that gives up a promise. */
void options_warn(void);

#endif
