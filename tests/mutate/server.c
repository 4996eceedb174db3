/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for cmocka's runner in the test programs that tools/mutate.py links. Reads commands from standard
 * input and runs one test for each, in a process of its own so that none sees what another one left:
 *
 *   n test ms    with mutant n alive (0: none), for at most so many milliseconds of the CPU's time
 *
 * and answers with a line: "green", "red" or "late", microseconds, then for mutant 0 all places that it
 * reached.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mutate/mutant.h"

#define PLACES 0x10000

unsigned mutant_alive;
unsigned char *mutant_seen;

int __real__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);

/* What runs before main() reaches places, too. */
static __attribute__((constructor(101))) void make_seen(void)
{
    mutant_seen =
        mmap(NULL, PLACES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mutant_seen == MAP_FAILED)
        abort();
}

static void limit(unsigned ms)
{
    struct itimerval t = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

    setitimer(ITIMER_PROF, &t, NULL);
    alarm(ms / 100 + 5); /* for a mutant that sleeps, also on a busy machine */
}

int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown)
{
    unsigned n, test, ms;

    for (size_t i = 0; i < count; i++)
        printf("%s ", tests[i].name);
    printf("\n");
    fflush(stdout);
    while (scanf("%u %u %u", &n, &test, &ms) == 3 && test < count) {
        struct rusage use;
        int status;
        pid_t child;

        memset(mutant_seen, 0, PLACES);
        child = fork();
        if (child < 0)
            abort();
        if (child == 0) {
            int nowhere = open("/dev/null", O_RDWR);

            dup2(nowhere, 0);
            dup2(nowhere, 1);
            dup2(nowhere, 2);
            mutant_alive = n;
            limit(ms);
            exit(__real__cmocka_run_group_tests(name, &tests[test], 1, setup, teardown) != 0);
        }
        wait4(child, &status, 0, &use);
        printf("%s %ld",
               status == 0                                                                           ? "green"
               : WIFSIGNALED(status) && (WTERMSIG(status) == SIGPROF || WTERMSIG(status) == SIGALRM) ? "late"
                                                                                                     : "red",
               (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000L + use.ru_utime.tv_usec +
                   use.ru_stime.tv_usec);
        for (unsigned i = 1; n == 0 && i < PLACES; i++)
            if (mutant_seen[i])
                printf(" %u", i);
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
