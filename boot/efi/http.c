/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files from the web server that this application was itself fetched from, where firmware speaks HTTP: the
 * device path that it was loaded by holds the address, and the interface's own. IPv4.
 */
#include "boot/efi/http.h"
#include "arch/string.h"
#include "boot/efi/efi_app.h"

#define URL_MAX        512
#define ANSWER_TIME    (30 * 10000000ull) /* in 100 ns: the longest silence of the server */
#define CONNECT_MS     10000
#define IPV4_NODE_SIZE 27  /* UEFI 10.3.4.12; the C structure is padded */
#define ADDRESS_TRIES  150 /* of 100 ms: firmware may have to ask for an address once more */

static const EFI_GUID binding_guid = {
    0xbdc8e6af, 0xd9bc, 0x4379, { 0xa7, 0x2a, 0xe0, 0xc4, 0xe7, 0x5d, 0xae, 0x1c }
};
static const EFI_GUID http_guid = {
    0x7a59b29b, 0x910b, 0x4171, { 0x82, 0x42, 0xa8, 0x5a, 0x0d, 0xf2, 0x5b, 0x5b }
};

static char base[URL_MAX]; /* of the application itself */
static size_t host_at, path_at;
static struct http_v4_access access_point = { .use_default = TRUE };
static EFI_SERVICE_BINDING *binding;
static EFI_HANDLE nic;
static char name[80];

/* Takes the last address and the last interface of the path. */
static void read_path(const EFI_DEVICE_PATH *node)
{
    for (unsigned i = 0; node && !IsDevicePathEnd(node) && i < 64; i++, node = NextDevicePathNode(node)) {
        size_t size = DevicePathNodeLength(node);

        if (DevicePathType(node) != MESSAGING_DEVICE_PATH || size <= sizeof(*node))
            continue;
        if (DevicePathSubType(node) == MSG_URI_NODE && size - sizeof(*node) < sizeof(base)) {
            memcpy(base, node + 1, size - sizeof(*node));
            base[size - sizeof(*node)] = 0;
        } else if (DevicePathSubType(node) == MSG_IPv4_DP && size >= IPV4_NODE_SIZE) {
            const IPv4_DEVICE_PATH *v4 = (const IPv4_DEVICE_PATH *)node;
            access_point.address = v4->LocalIpAddress;
            access_point.mask = v4->SubnetMask;
            access_point.use_default = !v4->LocalIpAddress.Addr[0];
        }
    }
}

/* "http://host/path": host and path begin at host_at and path_at. */
static bool split_base(void)
{
    static const char scheme[] = "http://";

    if (memcmp(base, scheme, sizeof(scheme) - 1))
        return false;
    host_at = sizeof(scheme) - 1;
    path_at = host_at;
    while (base[path_at] && base[path_at] != '/')
        path_at++;
    return path_at > host_at && base[path_at];
}

static bool make_url(char *out, const char *path)
{
    directory_of(out, URL_MAX, base);
    if (path[0] == '/')
        out[path_at] = 0;
    if (strlen(out) + strlen(path) >= URL_MAX)
        return false;
    memcpy(out + strlen(out), path, strlen(path) + 1);
    return true;
}

/* Runs the driver until the token is done. False: silence for too long; then the token is cancelled. */
static bool wait_for(struct http_protocol *http, struct http_token *token)
{
    EFI_EVENT timer;
    bool done = false;

    if (EFI_ERROR(app.bs->CreateEvent(EVT_TIMER, TPL_CALLBACK, NULL, NULL, &timer)))
        return false;
    (void)app.bs->SetTimer(timer, TimerRelative, ANSWER_TIME);
    while (!done && EFI_ERROR(app.bs->CheckEvent(timer))) {
        (void)http->poll(http);
        done = !EFI_ERROR(app.bs->CheckEvent(token->event));
    }
    (void)app.bs->CloseEvent(timer);
    if (!done)
        (void)http->cancel(http, token);
    return done && !EFI_ERROR(token->status);
}

/* Sends or receives one message. */
static bool exchange(struct http_protocol *http, struct http_message *message, bool send)
{
    struct http_token token = { .message = message };
    bool ok = false;

    if (EFI_ERROR(app.bs->CreateEvent(0, TPL_CALLBACK, NULL, NULL, &token.event)))
        return false;
    EFI_STATUS status = EFI_NO_MAPPING;
    for (unsigned i = 0; i < ADDRESS_TRIES && status == EFI_NO_MAPPING; i++) {
        if (i)
            (void)app.bs->Stall(100000);
        status = send ? http->request(http, &token) : http->response(http, &token);
    }
    if (!EFI_ERROR(status))
        ok = wait_for(http, &token);
    (void)app.bs->CloseEvent(token.event);
    return ok;
}

static bool same_name(const CHAR8 *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a | 0x20) != (*b | 0x20))
            return false;
    return !*a && !*b;
}

/* False: the server does not tell. */
static bool content_length(const struct http_message *message, u64 *size)
{
    for (UINTN i = 0; i < message->nr_headers; i++) {
        const CHAR8 *c = message->headers[i].value;

        if (!same_name(message->headers[i].name, "content-length"))
            continue;
        for (*size = 0; *c >= '0' && *c <= '9' && *size < BIT(48); c++)
            *size = *size * 10 + (u64)(*c - '0');
        return !*c;
    }
    return false;
}

static bool ask(struct http_protocol *http, const char *url)
{
    CHAR16 wide[URL_MAX];
    char host[URL_MAX];
    struct http_header headers[] = {
        { (CHAR8 *)"Host", (CHAR8 *)host },
        { (CHAR8 *)"Accept", (CHAR8 *)"*/*" },
        { (CHAR8 *)"User-Agent", (CHAR8 *)"sluice" },
    };
    struct http_request request = { HTTP_METHOD_GET, wide };
    struct http_message message = { { &request }, ARRAY_SIZE(headers), headers, 0, NULL };
    size_t n = 0;

    memcpy(host, base + host_at, path_at - host_at);
    host[path_at - host_at] = 0;
    for (; url[n]; n++)
        wide[n] = (CHAR16)url[n];
    wide[n] = 0;
    return exchange(http, &message, true);
}

static bool receive(struct http_protocol *http, struct blob *out, const char **why)
{
    struct http_response response = { 0 };
    struct http_message message = { .data.response = &response };

    *why = "no answer";
    if (!exchange(http, &message, false))
        return false;
    *why = "not found";
    if (response.status != HTTP_STATUS_OK)
        return false;
    *why = "the server does not tell its size";
    if (!content_length(&message, &out->size))
        return false;

    *why = "the transfer broke off";
    out->data = app_pages(out->size, ~0ull, "a file");
    for (u64 at = 0; at < out->size;) {
        struct http_message body = { .body_size = out->size - at, .body = (u8 *)out->data + at };

        if (!exchange(http, &body, false) || !body.body_size)
            return false;
        at += body.body_size;
    }
    return true;
}

/* A connection of its own for each file: not every server keeps one open. */
static bool fetch(const char *path, struct blob *out, const char **why)
{
    struct http_config config = { HTTP_VERSION_11, CONNECT_MS, FALSE, &access_point };
    EFI_HANDLE child = NULL;
    char url[URL_MAX];
    bool ok = false;

    *why = "the address is too long";
    if (!make_url(url, path))
        return false;
    *why = "firmware gives no connection";
    if (EFI_ERROR(binding->CreateChild(binding, &child)))
        return false;
    struct http_protocol *http = app_protocol(child, http_guid);
    if (http && !EFI_ERROR(http->configure(http, &config))) {
        *why = "no connection";
        ok = ask(http, url) && receive(http, out, why);
        (void)http->configure(http, NULL);
    }
    (void)binding->DestroyChild(binding, child);
    return ok;
}

const struct source *http_source(void)
{
    static const struct source source = { name, fetch };
    EFI_DEVICE_PATH *path = app_protocol(app.loaded->DeviceHandle, (EFI_GUID)DEVICE_PATH_PROTOCOL);

    if (!path)
        return NULL;
    read_path(path);
    if (!base[0])
        read_path(app.loaded->FilePath);
    if (!split_base() || EFI_ERROR(app.bs->LocateDevicePath((EFI_GUID *)&binding_guid, &path, &nic)))
        return NULL;
    binding = app_protocol(nic, binding_guid);
    if (!binding)
        return NULL;
    char host[60] = "";
    memcpy(host, base + host_at, MIN(path_at - host_at, sizeof(host) - 1));
    fmt_string(name, sizeof(name), "web server %s", host);
    return &source;
}
