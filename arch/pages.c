/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page pool: what is left of the region behind the image and its page tables. Pages that were never used
 * are taken from the front; freed ones form a list through themselves.
 */
#include "arch/paging.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/string.h"

struct free_page {
    struct free_page *next;
};

static struct spinlock lock;
static u64 start, fresh, end; /* the pool, and its first page that was never used */
static struct free_page *freed;
static size_t nr_freed;

void pages_init(u64 first, u64 limit)
{
    start = fresh = first;
    end = limit;
}

void *pages_alloc(size_t count)
{
    void *page = NULL;

    spin_lock(&lock);
    if (count && count <= (end - fresh) / PAGE_SIZE) {
        page = (void *)fresh;
        fresh += count * PAGE_SIZE;
    }
    spin_unlock(&lock);
    return page ? memset(page, 0, count * PAGE_SIZE) : NULL;
}

void *page_alloc(void)
{
    spin_lock(&lock);
    struct free_page *page = freed;
    if (page) {
        freed = page->next;
        nr_freed--;
    }
    spin_unlock(&lock);
    return page ? memset(page, 0, PAGE_SIZE) : pages_alloc(1);
}

void page_free(void *page)
{
    struct free_page *p = page;

    ASSERT(is_aligned((u64)page, PAGE_SIZE) && (u64)page >= start && (u64)page < fresh);
    spin_lock(&lock);
    p->next = freed;
    freed = p;
    nr_freed++;
    spin_unlock(&lock);
}

size_t pages_available(void)
{
    spin_lock(&lock);
    size_t count = nr_freed + (end - fresh) / PAGE_SIZE;
    spin_unlock(&lock);
    return count;
}
