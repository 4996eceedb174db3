/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files from the TFTP server that this application was itself fetched from, by firmware's PXE base code
 * (UEFI 24.3). IPv4.
 */
#include "boot/efi/efi_app.h"
#include "arch/string.h"
#include <efipxebc.h>

#define BLOCK_SIZE     1468 /* what fits into one Ethernet frame */
#define DHCP_COOKIE    0x63825363
#define OPTION_PAD     0
#define OPTION_SERVER  54
#define OPTION_FILE    67
#define OPTION_END     255
#define OPTIONS_OFFSET 240 /* behind the cookie */

static EFI_PXE_BASE_CODE_PROTOCOL *pxe;
static EFI_IP_ADDRESS server;
static char directory[CONFIG_PATH_MAX];
static char name[40];

/* The option's bytes in a DHCP packet, NULL = not there. */
static const u8 *dhcp_option(const EFI_PXE_BASE_CODE_PACKET *packet, u8 wanted, size_t *size)
{
    const u8 *p = (const u8 *)packet;
    size_t at = OPTIONS_OFFSET, end = sizeof(*packet);
    u32 cookie = (u32)p[236] << 24 | (u32)p[237] << 16 | (u32)p[238] << 8 | p[239];

    while (cookie == DHCP_COOKIE && at < end && p[at] != OPTION_END) {
        if (p[at] == OPTION_PAD) {
            at++;
            continue;
        }
        if (end - at < 2 || end - at - 2 < p[at + 1])
            break;
        if (p[at] == wanted) {
            *size = p[at + 1];
            return p + at + 2;
        }
        at += 2u + p[at + 1];
    }
    return NULL;
}

/* The packet that named the boot file: a boot server's, a proxy's, or the address server's own. */
static const EFI_PXE_BASE_CODE_PACKET *boot_packet(const EFI_PXE_BASE_CODE_MODE *mode)
{
    if (mode->PxeReplyReceived)
        return &mode->PxeReply;
    if (mode->ProxyOfferReceived)
        return &mode->ProxyOffer;
    return mode->DhcpAckReceived ? &mode->DhcpAck : NULL;
}

static void read_packet(const EFI_PXE_BASE_CODE_PACKET *packet)
{
    char path[CONFIG_PATH_MAX] = "";
    size_t size;

    memcpy(&server.v4, packet->Dhcpv4.BootpSiAddr, sizeof(server.v4));
    const u8 *id = dhcp_option(packet, OPTION_SERVER, &size);
    if (!packet->Dhcpv4.BootpSiAddr[0] && id && size == sizeof(server.v4))
        memcpy(&server.v4, id, sizeof(server.v4));

    const u8 *file = dhcp_option(packet, OPTION_FILE, &size);
    if (!file) {
        file = packet->Dhcpv4.BootpBootFile;
        size = sizeof(packet->Dhcpv4.BootpBootFile);
    }
    memcpy(path, file, MIN(size, sizeof(path) - 1));
    directory_of(directory, sizeof(directory), path);
}

static EFI_STATUS mtftp(EFI_PXE_BASE_CODE_TFTP_OPCODE op, const char *path, void *data, UINT64 *size)
{
    UINTN block = BLOCK_SIZE;

    return pxe->Mtftp(pxe, op, data, FALSE, size, &block, &server, (UINT8 *)path, NULL, FALSE);
}

static bool fetch(const char *path, struct blob *out, const char **why)
{
    char full[2 * CONFIG_PATH_MAX] = "";
    UINT64 size = 0;

    if (path[0] != '/')
        memcpy(full, directory, strlen(directory) + 1);
    memcpy(full + strlen(full), path, strlen(path) + 1);

    *why = "not found";
    EFI_STATUS status = mtftp(EFI_PXE_BASE_CODE_TFTP_GET_FILE_SIZE, full, NULL, &size);
    if (status == EFI_UNSUPPORTED) /* iPXE's way: it can read a file, but tells no size, before or after */
        *why = "it cannot tell a file's size; let the iPXE script fetch the files, or boot a single file";
    if (EFI_ERROR(status))
        return false;
    out->data = app_pages(size, ~0ull, path);
    out->size = size;
    *why = "the transfer broke off";
    return !EFI_ERROR(mtftp(EFI_PXE_BASE_CODE_TFTP_READ_FILE, full, out->data, &out->size));
}

const struct source *tftp_source(void)
{
    static const struct source source = { name, fetch };

    pxe = app_protocol(app.loaded->DeviceHandle, (EFI_GUID)EFI_PXE_BASE_CODE_PROTOCOL_GUID);
    if (!pxe || !pxe->Mode->Started || pxe->Mode->UsingIpv6)
        return NULL;
    const EFI_PXE_BASE_CODE_PACKET *packet = boot_packet(pxe->Mode);
    if (!packet)
        return NULL;
    read_packet(packet);
    fmt_string(name, sizeof(name), "TFTP server %u.%u.%u.%u", server.v4.Addr[0], server.v4.Addr[1],
               server.v4.Addr[2], server.v4.Addr[3]);
    return &source;
}
