/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page requests (7.5): requests of functions into the queue in memory, and the responses that come back.
 */
#include "tests/model/model_int.h"

void mdl_page_response(struct model *m, const u64 q[4])
{
    (void)m;
    (void)q;
}
