/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP protocol of UEFI 29.6, as far as fetching a file takes; the EFI headers in use lack it.
 */
#ifndef BOOT_EFI_HTTP_H
#define BOOT_EFI_HTTP_H

#include <efi.h>

enum http_version { HTTP_VERSION_10, HTTP_VERSION_11 };
enum http_method { HTTP_METHOD_GET };
/* The protocol numbers the status codes in their order: 0 unknown, 1 = 100, 2 = 101, 3 = 200. */
enum http_status { HTTP_STATUS_OK = 3 };

struct http_v4_access {
    BOOLEAN use_default;
    EFI_IPv4_ADDRESS address, mask;
    UINT16 port; /* 0 = any */
};

struct http_config {
    enum http_version version;
    UINT32 timeout_ms;
    BOOLEAN is_v6;
    struct http_v4_access *v4;
};

struct http_request {
    enum http_method method;
    CHAR16 *url;
};

struct http_response {
    enum http_status status;
};

struct http_header {
    CHAR8 *name, *value;
};

struct http_message {
    union {
        struct http_request *request;
        struct http_response *response; /* NULL: more of the body is wanted */
    } data;
    UINTN nr_headers;
    struct http_header *headers;
    UINTN body_size;
    VOID *body;
};

struct http_token {
    EFI_EVENT event;
    EFI_STATUS status;
    struct http_message *message;
};

struct http_protocol {
    VOID *get_mode;
    EFI_STATUS(EFIAPI *configure)(struct http_protocol *self, struct http_config *config);
    EFI_STATUS(EFIAPI *request)(struct http_protocol *self, struct http_token *token);
    EFI_STATUS(EFIAPI *cancel)(struct http_protocol *self, struct http_token *token);
    EFI_STATUS(EFIAPI *response)(struct http_protocol *self, struct http_token *token);
    EFI_STATUS(EFIAPI *poll)(struct http_protocol *self);
};

/* UEFI 10.3.4: a device-path node of the messaging type whose data is the address. */
#define MSG_URI_NODE 24

#endif
