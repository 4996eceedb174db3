/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files from the web server that this application was itself fetched from.
 */
#include "boot/efi/efi_app.h"

const struct source *http_source(void)
{
    return NULL;
}
