/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fetch.h"
#include "arch/paging.h"
#include "arch/string.h"
#include "hv/walk.h"

#define ATTR_LONG BIT(9)
#define ATTR_BIG  BIT(10)

int fetch_init(struct vcpu *v)
{
    struct fetcher *f = v->emulator = page_alloc();

    if (!f)
        return ERR_NOMEM;
    f->pair[0][0].rip = f->pair[0][1].rip = NOWHERE; /* RIP 0 is looked for in none of the others */
    return 0;
}

enum insn_mode fetch_mode(const struct vcpu_mode *mode)
{
    if ((mode->efer & EFER_LMA) && (mode->cs_attrib & ATTR_LONG))
        return INSN_64;
    return mode->cs_attrib & ATTR_BIG ? INSN_32 : INSN_16;
}

static u64 linear_of(struct vcpu *v, const struct vcpu_mode *mode)
{
    return fetch_mode(mode) == INSN_64 ? v->rip : (mode->cs_base + v->rip) & MASK(31, 0);
}

static bool is_plain_move(const struct insn *insn)
{
    return insn->op == INSN_MOV && insn->addr_size == 8 && (insn->width & (4 | 8)) && insn->seg < INSN_FS &&
           insn->index == INSN_NO_REG && !insn->rip_rel;
}

static int decode(const u8 *bytes, size_t count, const struct vcpu_mode *mode, struct fetched *out)
{
    int len = insn_decode(bytes, count, fetch_mode(mode), &out->insn);

    out->plain_move = is_plain_move(&out->insn);
    out->access = out->gpa = ~0ull;
    return len;
}

/* The first of the pair is the newer one. */
static struct fetch_slot *slot_to_fill(struct vcpu *v)
{
    struct fetch_slot *pair = ((struct fetcher *)v->emulator)->pair[v->rip % FETCH_PAIRS];

    if (pair[0].rip != v->rip)
        pair[1] = pair[0];
    return &pair[0];
}

/* *slot gets the bytes at RIP. */
static enum fetch_result fill_slot(struct vcpu *v, const struct vcpu_mode *mode, struct fetch_slot **slot)
{
    static const u64 none;
    struct fetch_slot *s = *slot = slot_to_fill(v);
    u64 linear = linear_of(v, mode), offset = linear & (PAGE_SIZE - 1);
    u64 first = MIN(offset, PAGE_SIZE - FETCH_WINDOW);

    s->rip = NOWHERE;
    if (!guest_walk(v, mode, linear, WALK_FETCH, &s->walk))
        return FETCH_AGAIN;
    for (unsigned i = s->walk.levels; i < WALK_MAX_LEVELS; i++) {
        s->walk.step[i].entry = &none;
        s->walk.step[i].value = none;
    }
    const volatile u8 *page = guest_page(s->walk.gpa);
    if (!page)
        return FETCH_NO_CODE;
    for (unsigned i = 0; i < FETCH_WINDOW; i++)
        ((u8 *)s->copy)[i] = page[first + i];
    s->fetched.start = (u8)(offset - first);
    s->mode = *mode;
    s->window = page + first;
    s->fetched.insn.len = 0; /* and stays so where it cannot be decoded */
    if (fetch_mode(mode) == INSN_64)
        s->rip = v->rip;
    return FETCH_OK;
}

/* Those at RIP that lie in the window. */
static const u8 *bytes_of(const struct fetch_slot *s, unsigned *count)
{
    *count = MIN(FETCH_WINDOW - (unsigned)s->fetched.start, (unsigned)INSN_MAX_LEN);
    return (const u8 *)s->copy + s->fetched.start;
}

static enum fetch_result fetch_anew(struct vcpu *v, const struct vcpu_mode *mode, struct fetched **out)
{
    u8 across[INSN_MAX_LEN];
    struct fetch_slot *s;
    unsigned count;
    enum fetch_result result = fill_slot(v, mode, &s);

    if (result != FETCH_OK)
        return result;
    const u8 *bytes = bytes_of(s, &count);
    int len = decode(bytes, count, mode, &s->fetched);
    if (len == INSN_NEED_MORE) {
        s->rip = NOWHERE; /* of a second page nothing is remembered */
        len = decode(across, fetch_bytes(v, mode, across), mode, &s->fetched);
    }
    *out = &s->fetched;
    return s->fetched.insn.len ? FETCH_OK : len == INSN_NEED_MORE ? FETCH_AGAIN : FETCH_UNKNOWN;
}

enum fetch_result fetch_insn(struct vcpu *v, const struct vcpu_mode *mode, struct fetched **out)
{
    struct fetch_slot *s = fetch_known(v);

    if (!s || !s->fetched.insn.len)
        return fetch_anew(v, mode, out);
    *out = &s->fetched;
    return FETCH_OK;
}

unsigned fetch_bytes(struct vcpu *v, const struct vcpu_mode *mode, u8 bytes[INSN_MAX_LEN])
{
    u64 linear = linear_of(v, mode);
    const volatile u8 *page = NULL;
    struct walk w;

    for (unsigned i = 0; i < INSN_MAX_LEN; i++) {
        u64 at = linear + i;
        if (fetch_mode(mode) != INSN_64)
            at &= MASK(31, 0);
        if (!page || is_aligned(at, PAGE_SIZE)) {
            page = guest_walk(v, mode, at, WALK_FETCH, &w) ? guest_page(w.gpa) : NULL;
            if (!page)
                return i;
        }
        bytes[i] = page[at & (PAGE_SIZE - 1)];
    }
    return INSN_MAX_LEN;
}

static bool is_prefix(u8 byte, enum insn_mode mode)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64 ... 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
        return true;
    default:
        return mode == INSN_64 && (byte & 0xf0) == 0x40;
    }
}

/* Bytes of any prefixes and `opcode`; 0 = that is not what is there. */
static unsigned length_of(const u8 *bytes, unsigned count, enum insn_mode mode, const u8 *opcode,
                          unsigned size)
{
    for (unsigned at = 0; at + size <= count; at++) {
        if (!memcmp(bytes + at, opcode, size))
            return at + size;
        if (!is_prefix(bytes[at], mode))
            break;
    }
    return 0;
}

bool fetch_skip(struct vcpu *v, const u8 *opcode, unsigned size)
{
    struct fetch_slot *s = fetch_known(v);
    u8 across[INSN_MAX_LEN];
    struct vcpu_mode mode;
    unsigned count;

    if (!s) {
        vcpu_get_mode(v, &mode);
        if (fill_slot(v, &mode, &s) != FETCH_OK)
            return false;
    }
    const u8 *bytes = bytes_of(s, &count);
    enum insn_mode size_mode = fetch_mode(&s->mode);
    unsigned length = length_of(bytes, count, size_mode, opcode, size);
    if (!length)
        length = length_of(across, fetch_bytes(v, &s->mode, across), size_mode, opcode, size);
    if (!length)
        return false;
    u64 rip = v->rip + length;
    fetch_advance(v, size_mode == INSN_64 ? rip : rip & MASK(31, 0));
    return true;
}
