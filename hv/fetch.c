/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/fetch.h"
#include "arch/paging.h"
#include "hv/walk.h"

#define EFER_LMA    BIT(10)
#define ATTR_LONG   BIT(9)
#define ATTR_BIG    BIT(10)
#define FETCH_WIDTH 16 /* bytes read at once */

struct slot {
    struct vcpu_mode mode;
    u64 rip;
    const volatile u8 *bytes; /* NULL: empty */
    struct walk walk;
    u64 copy[2];
    int length; /* insn_decode()'s answer; 0 = not asked */
    struct fetched fetched;
};

#define NR_PAIRS 8 /* pair_of() */

struct fetcher {
    struct slot slots[NR_PAIRS][2];
    struct fetched other; /* what has no slot */
};
_Static_assert(sizeof(struct fetcher) <= PAGE_SIZE, "one page");

int fetch_init(struct vcpu *v)
{
    v->emulator = page_alloc();
    return v->emulator ? 0 : ERR_NOMEM;
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

static bool same_mode(const struct vcpu_mode *a, const struct vcpu_mode *b)
{
    u64 differ = (a->cr3 ^ b->cr3) | (a->cr0 ^ b->cr0) | (a->cr4 ^ b->cr4) | (a->efer ^ b->efer) |
                 (a->cs_base ^ b->cs_base);

    return !differ && a->cs_attrib == b->cs_attrib && a->cpl == b->cpl;
}

static void read_words(const volatile u8 *from, u64 words[2])
{
    typedef u64 unaligned __attribute__((aligned(1)));

    words[0] = ((const volatile unaligned *)from)[0];
    words[1] = ((const volatile unaligned *)from)[1];
}

/* Would the walk and the bytes be the same again? */
static bool still_valid(const struct slot *s, const struct vcpu_mode *mode)
{
    u64 now[2];

    if (!s->bytes || !same_mode(&s->mode, mode))
        return false;
    for (unsigned i = 0; i < s->walk.levels; i++)
        if (*s->walk.step[i].entry != s->walk.step[i].value)
            return false;
    read_words(s->bytes, now);
    return now[0] == s->copy[0] && now[1] == s->copy[1];
}

static bool is_plain_move(const struct insn *insn)
{
    return insn->op == INSN_MOV && insn->mode == INSN_64 && insn->addr_size == 8 && insn->width >= 4 &&
           insn->seg < INSN_FS;
}

static int decode(const u8 *bytes, size_t count, const struct vcpu_mode *mode, struct fetched *out)
{
    int len = insn_decode(bytes, count, fetch_mode(mode), &out->insn);

    out->plain_move = len > 0 && is_plain_move(&out->insn);
    return len;
}

/* Bytes across a page boundary, or with tables that are not remembered. */
static enum fetch_result fetch_slowly(struct vcpu *v, const struct vcpu_mode *mode,
                                      const struct fetched **out)
{
    struct fetcher *f = v->emulator;
    u8 bytes[INSN_MAX_LEN + 1];
    unsigned count = fetch_bytes(v, mode, bytes);

    if (!count)
        return FETCH_AGAIN;
    *out = &f->other;
    int len = decode(bytes, count, mode, &f->other);
    if (len == INSN_NEED_MORE)
        return FETCH_AGAIN;
    return len > 0 ? FETCH_OK : FETCH_UNKNOWN;
}

/* What lies at RIP may be remembered in either of two places. */
static struct slot *pair_of(struct vcpu *v)
{
    struct fetcher *f = v->emulator;

    return f->slots[v->rip * 0x9e3779b97f4a7c15 >> 61]; /* spreads neighbours */
}

static struct slot *slot_of(struct vcpu *v)
{
    struct slot *pair = pair_of(v);

    return pair[0].rip == v->rip ? &pair[0] : &pair[1];
}

/* The older of the pair goes when both hold something else. */
static struct slot *slot_to_fill(struct vcpu *v)
{
    struct slot *pair = pair_of(v), *s = slot_of(v);

    if (s->rip == v->rip)
        return s;
    pair[1] = pair[0];
    return &pair[0];
}

/* *slot gets the bytes at RIP; NULL where no slot can hold them. */
static enum fetch_result fill_slot(struct vcpu *v, const struct vcpu_mode *mode, struct slot **slot)
{
    struct slot *s = slot_to_fill(v);
    u64 linear = linear_of(v, mode);

    *slot = s;
    s->bytes = NULL;
    s->length = 0;
    if ((linear & (PAGE_SIZE - 1)) > PAGE_SIZE - FETCH_WIDTH) {
        *slot = NULL;
        return FETCH_OK;
    }
    if (!guest_walk(v, mode, linear, WALK_FETCH, &s->walk))
        return FETCH_AGAIN;
    const volatile u8 *page = guest_page(s->walk.gpa);
    if (!page)
        return FETCH_NO_CODE;
    page += linear & (PAGE_SIZE - 1);
    read_words(page, s->copy);
    s->mode = *mode;
    s->rip = v->rip;
    if (!s->walk.small_entries)
        s->bytes = page;
    return FETCH_OK;
}

static __attribute__((noinline)) enum fetch_result fetch_anew(struct vcpu *v, const struct vcpu_mode *mode,
                                                              const struct fetched **out)
{
    struct slot *s;
    enum fetch_result result = fill_slot(v, mode, &s);

    if (result != FETCH_OK)
        return result;
    if (!s)
        return fetch_slowly(v, mode, out);
    s->length = decode((const u8 *)s->copy, INSN_MAX_LEN, mode, &s->fetched);
    *out = &s->fetched;
    return s->length > 0 ? FETCH_OK : FETCH_UNKNOWN;
}

enum fetch_result fetch_insn(struct vcpu *v, const struct vcpu_mode *mode, const struct fetched **out)
{
    struct slot *s = slot_of(v);

    if (s->rip != v->rip || s->length <= 0 || !still_valid(s, mode))
        return fetch_anew(v, mode, out);
    *out = &s->fetched;
    return FETCH_OK;
}

unsigned fetch_bytes(struct vcpu *v, const struct vcpu_mode *mode, u8 bytes[INSN_MAX_LEN + 1])
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

void fetch_advance(struct vcpu *v, u64 rip)
{
    v->rip = rip;
    vcpu_ops->retired(v);
}

bool fetch_skip(struct vcpu *v, const u8 *opcode, unsigned size)
{
    struct vcpu_mode mode;
    struct slot *s = slot_of(v);
    u8 buffer[INSN_MAX_LEN + 1];
    const u8 *bytes = buffer;
    unsigned at = 0, count = INSN_MAX_LEN;

    vcpu_ops->get_mode(v, &mode);
    if ((s->rip == v->rip && still_valid(s, &mode)) || (fill_slot(v, &mode, &s) == FETCH_OK && s))
        bytes = (const u8 *)s->copy;
    else
        count = fetch_bytes(v, &mode, buffer);
    enum insn_mode size_mode = fetch_mode(&mode);
    while (at < count && is_prefix(bytes[at], size_mode))
        at++;
    if (at + size > count)
        return false;
    for (unsigned i = 0; i < size; i++)
        if (bytes[at + i] != opcode[i])
            return false;
    u64 rip = v->rip + at + size;
    fetch_advance(v, size_mode == INSN_64 ? rip : rip & MASK(31, 0));
    return true;
}
