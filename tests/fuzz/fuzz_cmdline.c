/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: hv/options.c arch/fmt.c */
/* Any command line is taken or refused; nothing else happens. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "arch/log.h"
#include "arch/serial.h"
#include "hv/options.h"
#include "tests/fuzz/fuzz.h"

enum log_level log_threshold;
static jmp_buf refused;

void refuse(const char *fmt, ...)
{
    (void)fmt;
    longjmp(refused, 1);
}

void serial_use(u16 port)
{
    (void)port;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    char *line = malloc(size + 1); /* of its exact size, so that a read beyond the end is seen */

    memcpy(line, data, size);
    line[size] = 0;
    if (!setjmp(refused)) {
        options_parse(line);
        options_warn();
        /* What is accepted is one of the values there are. */
        REQUIRE(options.iommu.dtlb <= DTLB_CM && options.iommu.ats <= ATS_ALL);
    }
    free(line);
    return 0;
}
