/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included in front of each source in which tools/mutate.py has put all mutants side by side: MUT(n) is where
 * mutant n differs from the original. Which one is alive is chosen when a test starts.
 */
#ifndef MUTANT_H
#define MUTANT_H

extern unsigned mutant_alive; /* 0: none */
extern unsigned char *mutant_seen;

static inline int MUT(unsigned n)
{
    mutant_seen[n] = 1; /* this test gets here, and would notice a difference if anything did */
    return mutant_alive == n;
}

#endif
