/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first C code after multiboot2.asm: console and exception tables, then the boot information, then hv/.
 */
#include "boot/multiboot2.h"
#include "boot/efi_tables.h"
#include "arch/cpu.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/screen.h"
#include "arch/serial.h"
#include "arch/sha256.h"
#include "arch/string.h"
#include "hv/main.h"

static struct boot_info info;

/* Written and used by multiboot2.asm too; outlives the first start. */
extern struct boot_kept {
    u32 loader;
    u32 info_pa;
    u64 tsc; /* at the first instruction */
    u64 shut_out_ticks;
    bool again;
} boot_kept;
struct boot_kept boot_kept __attribute__((section(".bss.kept")));

/* What the file's first bytes up to here add up to; filled in when the image is built (Makefile). */
extern u8 image_digest[SHA256_SIZE];
u8 image_digest[SHA256_SIZE] __attribute__((section(".digest"), aligned(32))) = { 0 };
extern const u8 image_data[], image_data_kept[];

void boot_start(u64 load_base);

static void from_multiboot2(u64 mbi_pa)
{
    const struct mb2_header *mbi = phys_to_virt(mbi_pa);

    if (multiboot2_parse(mbi, MIN(mbi->total_size, MB2_MAX_SIZE), &info))
        refuse("the boot loader's multiboot2 information is broken; use another loader or version");
    info.rsdp = efi_find_rsdp(info.efi_system_table, BIT(32));
}

/* A device may have written on the image before it was shut out. What has run so far may be wrong then, so
 * this finds accidents, not attacks; what runs from here on is what was built. */
static void check_image(void)
{
    struct sha256 s;
    u8 digest[SHA256_SIZE];

    sha256_start(&s);
    sha256_add(&s, (const void *)IMAGE_VA, (u64)image_data - IMAGE_VA);
    sha256_add(&s, image_data_kept, (size_t)(image_digest - image_data));
    sha256_end(&s, digest);
    if (memcmp(digest, image_digest, sizeof(digest)))
        refuse(
            "Sluice's image in memory is not what was built; a device wrote on it before it was shut out, or "
            "the file is damaged: try another boot path, and switch on DMA protection in firmware");
}

void boot_start(u64 load_base)
{
    serial_init();
    paging_early(load_base);
    percpu_init(percpu_of(0));

    if (boot_kept.loader == BOOT_BY_EFI) {
        memcpy(&info, phys_to_virt(boot_kept.info_pa), sizeof(info));
        refuse_resets = true;
        info.path = "EFI"; /* the application's own string is no longer there */
    } else {
        from_multiboot2(boot_kept.info_pa);
    }
    screen_init(&info.framebuffer);
    info.image_base = load_base;
    info.image_size = image_extent();
    info.start_tsc = boot_kept.tsc;
    info.shut_out_ticks = boot_kept.shut_out_ticks;
    if (boot_kept.again)
        hv_main(&info);

    boot_kept.again = true;
    boot_kept.shut_out_ticks = hv_shut_out(&info) ? rdtsc() - info.start_tsc : 0;
    check_image();
}
