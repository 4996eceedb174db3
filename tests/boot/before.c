/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may have run before Sluice: an EFI application that leaves the machine in states that firmware is
 * known to leave, then starts next.efi from its own volume. before.cfg beside it says which:
 *
 *   te       translation on, everything passed through      qi      a queue that has been used
 *   ir       interrupt remapping on                         x2apic  the local APIC in x2APIC mode
 *   la57     five levels of page tables                    acpi=low, acpi=high  firmware's tables moved to
 * reserved memory below or above 4 GiB nic=OFF  the receive ring of an e1000 aimed at Sluice's image, OFF
 * bytes (hex) behind its start, armed when boot services have ended; with `hit` Sluice is entered only when a
 * frame has been written there
 *
 * What is in force at the end is read back and told on COM1: "before: te 1 qi 1 ...".
 */
#include <efi.h>

#include "arch/cpu.h"
#include "arch/string.h"
#include "iommu/regs.h"
#include "iommu/tables.h"

#define UNIT      ((u8 *)0xfed90000) /* where QEMU has it */
#define COM1      0x3f8
#define MSR_APIC  0x1b
#define APIC_EXTD BIT(10)
#define CR4_LA57  BIT(12)

/* e1000 */
#define E1000_ID    0x100e8086
#define E1000_RCTL  0x100
#define E1000_RDBAL 0x2800 /* then RDBAH, RDLEN */
#define E1000_RDH   0x2810
#define E1000_RDT   0x2818
#define RCTL_ON     (BIT(1) | BIT(3) | BIT(4) | BIT(15)) /* everything, in buffers of 2 KiB */
#define RING        128

struct rx {
    u64 address;
    u16 length, checksum;
    u8 status, errors;
    u16 special;
};

EFI_STATUS efi_main(EFI_HANDLE self, EFI_SYSTEM_TABLE *st);
void enable_la57(u64 root);

static EFI_SYSTEM_TABLE *st;
static EFI_EXIT_BOOT_SERVICES exit_boot_services;
static char words[256];
static struct rx *ring;

static void say(const char *text)
{
    for (; *text; text++) {
        while (!(inb(COM1 + 5) & 0x20))
            ;
        outb(COM1, (u8)*text);
    }
}

/* The text behind `word` in before.cfg, NULL = it is not there. */
static const char *wanted(const char *word)
{
    size_t n = strlen(word);

    for (const char *w = words; *w; w++)
        if ((w == words || w[-1] == ' ') && !strncmp(w, word, n) && (w[n] <= ' ' || word[n - 1] == '='))
            return w + n;
    return NULL;
}

/* Memory that stays firmware's. */
static void *keep(unsigned pages)
{
    EFI_PHYSICAL_ADDRESS at = 0xffffffff;

    if (EFI_ERROR(st->BootServices->AllocatePages(AllocateMaxAddress, EfiReservedMemoryType, pages, &at)))
        say("before: no memory\r\n");
    return memset((void *)at, 0, pages * PAGE_SIZE);
}

static u32 get(u32 off)
{
    return *(volatile u32 *)(UNIT + off);
}

static void set32(u32 off, u32 value)
{
    *(volatile u32 *)(UNIT + off) = value;
}

static void set64(u32 off, u64 value)
{
    *(volatile u64 *)(UNIT + off) = value;
}

static void unit_command(u32 bit)
{
    set32(REG_GCMD, (get(REG_GSTS) & GSTS_PERSISTENT) | bit);
    while (!(get(REG_GSTS) & bit))
        ;
}

static void translation(void)
{
    struct root_entry *root = keep(2);
    struct context_entry *context = (struct context_entry *)(root + 256);

    for (unsigned i = 0; i < 256; i++) {
        root[i].lo = ROOT_P | (u64)context;
        context[i].lo = CTX_P | field_prep(CTX_TT, TT_PASS_THROUGH);
        context[i].hi = field_prep(CTX_AW, 2) | field_prep(CTX_DID, 7);
    }
    set64(REG_RTADDR, (u64)root);
    unit_command(GCMD_SRTP);
    unit_command(GCMD_TE);
}

static void queue(void)
{
    u64 *q = keep(2);

    q[0] = 5 | BIT(5) | 0x77ull << 32; /* a wait that writes a status */
    q[1] = (u64)(q + 512);
    set64(REG_IQA, (u64)q);
    unit_command(GCMD_QIE);
    set64(REG_IQT, 0x10);
    while (*(volatile u32 *)(q + 512) != 0x77)
        ;
}

static void remapping(void)
{
    set64(REG_IRTA, (u64)keep(1) | 7); /* 256 entries, none present */
    unit_command(GCMD_SIRTP);
    unit_command(GCMD_IRE);
}

static void five_levels(void)
{
    u64 *root = keep(1);

    root[0] = (read_cr3() & MASK(51, 12)) | 3;
    enable_la57((u64)root);
}

struct acpi_table {
    char signature[4];
    u32 length;
    u8 revision, checksum, rest[26];
    u64 entries[];
} __attribute__((packed));

static void fix_sum(void *table, size_t size, size_t at)
{
    u8 *p = table, sum = 0;

    p[at] = 0;
    for (size_t i = 0; i < size; i++)
        sum = (u8)(sum + p[i]);
    p[at] = (u8)-sum;
}

/* RSDP, XSDT and DMAR, a page for each. */
static void move_acpi(bool high)
{
    EFI_GUID acpi_20 = ACPI_20_TABLE_GUID;
    EFI_PHYSICAL_ADDRESS at = high ? 5 * SIZE_1G : 0xffffffff;
    EFI_ALLOCATE_TYPE where = high ? AllocateAddress : AllocateMaxAddress;
    u8 *rsdp = NULL;

    for (UINTN i = 0; i < st->NumberOfTableEntries; i++)
        if (!memcmp(&st->ConfigurationTable[i].VendorGuid, &acpi_20, sizeof(acpi_20)))
            rsdp = st->ConfigurationTable[i].VendorTable;
    if (!rsdp || EFI_ERROR(st->BootServices->AllocatePages(where, EfiReservedMemoryType, 3, &at)))
        return;
    u8 *to = (u8 *)at;
    struct acpi_table *xsdt = (struct acpi_table *)(to + PAGE_SIZE),
                      *dmar = (struct acpi_table *)(to + 2 * PAGE_SIZE);
    const struct acpi_table *old = *(struct acpi_table **)(rsdp + 24);

    memcpy(to, rsdp, 36);
    memcpy(xsdt, old, old->length);
    for (size_t i = 0; i < (old->length - sizeof(*old)) / 8; i++) {
        const struct acpi_table *table = (const struct acpi_table *)old->entries[i];

        if (memcmp(table->signature, "DMAR", 4))
            continue;
        memcpy(dmar, table, table->length);
        xsdt->entries[i] = (u64)dmar;
    }
    fix_sum(xsdt, xsdt->length, 9);
    memcpy(to + 24, &xsdt, 8);
    memset(to + 16, 0, 4); /* no RSDT */
    fix_sum(to, 20, 8);
    fix_sum(to, 36, 32);
    (void)st->BootServices->InstallConfigurationTable(&acpi_20, to);
    say(at >> 32 ? "before: tables above 4 GiB\r\n" : "before: tables in reserved memory\r\n");
}

static void tell_state(void)
{
    static char text[] = "before: te 0 qi 0 ir 0 x2apic 0 la57 0\r\n";
    u32 gsts = get(REG_GSTS);

    text[11] = gsts & GCMD_TE ? '1' : '0';
    text[16] = gsts & GCMD_QIE ? '1' : '0';
    text[21] = gsts & GCMD_IRE ? '1' : '0';
    text[30] = rdmsr(MSR_APIC) & APIC_EXTD ? '1' : '0';
    text[37] = read_cr4() & CR4_LA57 ? '1' : '0';
    say(text);
}

static u32 config(u32 device, u32 off)
{
    outl(0xcf8, BIT(31) | device << 11 | off);
    return inl(0xcfc);
}

/* The lowest image; the application has put it at a boundary of 2 MiB. */
static u64 find_image(void)
{
    for (u64 at = SIZE_2M; at < BIT(32); at += SIZE_2M)
        if (!memcmp((void *)(at + 0x80), "SLUICE64", 8))
            return at;
    return 0;
}

static void aim(const char *offset, bool hit)
{
    u64 at = 0;
    u32 device = 0;

    for (; *offset > ' '; offset++)
        at = at << 4 | (u64)(*offset <= '9' ? *offset - '0' : *offset - 'a' + 10);
    at += find_image();
    while (device < 32 && config(device, 0) != E1000_ID)
        device++;
    u32 command = config(device, 4) | 6; /* memory, bus master */
    outl(0xcfc, command);
    u8 *regs = (u8 *)(u64)(config(device, 0x10) & ~0xfu);
    for (unsigned i = 0; i < RING; i++)
        ring[i].address = at;
    *(volatile u32 *)(regs + E1000_RDBAL) = (u32)(u64)ring;
    *(volatile u32 *)(regs + E1000_RDBAL + 4) = 0;
    *(volatile u32 *)(regs + E1000_RDBAL + 8) = RING * sizeof(*ring);
    *(volatile u32 *)(regs + E1000_RDH) = 0;
    *(volatile u32 *)(regs + E1000_RDT) = RING - 1;
    *(volatile u32 *)(regs + E1000_RCTL) = RCTL_ON;
    say("before: aimed\r\n");
    while (hit && !(*(volatile u8 *)&ring[0].status & 1))
        ;
}

static EFI_STATUS EFIAPI at_exit(EFI_HANDLE self, UINTN key)
{
    EFI_STATUS status = exit_boot_services(self, key);

    if (!EFI_ERROR(status)) {
        tell_state();
        if (wanted("nic="))
            aim(wanted("nic="), wanted("hit") != NULL);
    }
    return status;
}

static UINTN read_file(EFI_FILE_PROTOCOL *root, const wchar_t *name, void *data, UINTN room)
{
    EFI_FILE_PROTOCOL *file;

    if (EFI_ERROR(root->Open(root, &file, (CHAR16 *)name, EFI_FILE_MODE_READ, 0)) ||
        EFI_ERROR(file->Read(file, &room, data)))
        return 0;
    return room;
}

EFI_STATUS efi_main(EFI_HANDLE self, EFI_SYSTEM_TABLE *table)
{
    EFI_GUID loaded_image = LOADED_IMAGE_PROTOCOL, file_system = SIMPLE_FILE_SYSTEM_PROTOCOL;
    EFI_BOOT_SERVICES *bs = table->BootServices;
    EFI_LOADED_IMAGE *own, *next;
    EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *volume;
    EFI_FILE_PROTOCOL *root;
    EFI_HANDLE image;
    const UINTN room = 32 << 20;

    st = table;
    void *file = (void *)0;
    EFI_PHYSICAL_ADDRESS at = 0xffffffff;
    if (EFI_ERROR(bs->HandleProtocol(self, &loaded_image, (void **)&own)) ||
        EFI_ERROR(bs->HandleProtocol(own->DeviceHandle, &file_system, (void **)&volume)) ||
        EFI_ERROR(volume->OpenVolume(volume, &root)) ||
        EFI_ERROR(bs->AllocatePages(AllocateMaxAddress, EfiLoaderData, room / PAGE_SIZE, &at)))
        return EFI_ABORTED;
    file = (void *)at;
    (void)read_file(root, L"before.cfg", words, sizeof(words) - 1);
    UINTN size = read_file(root, L"next.efi", file, room);
    if (EFI_ERROR(bs->LoadImage(FALSE, self, NULL, file, size, &image)) ||
        EFI_ERROR(bs->HandleProtocol(image, &loaded_image, (void **)&next)))
        return EFI_ABORTED;
    next->DeviceHandle = own->DeviceHandle;
    (void)bs->FreePages(at, room / PAGE_SIZE);

    ring = keep(1);
    if (wanted("acpi="))
        move_acpi(*wanted("acpi=") == 'h');
    if (wanted("te"))
        translation();
    if (wanted("qi"))
        queue();
    if (wanted("ir"))
        remapping();
    if (wanted("x2apic"))
        wrmsr(MSR_APIC, rdmsr(MSR_APIC) | APIC_EXTD);
    if (wanted("la57"))
        five_levels();
    exit_boot_services = bs->ExitBootServices;
    bs->ExitBootServices = (EFI_EXIT_BOOT_SERVICES)at_exit;
    return bs->StartImage(image, NULL, NULL);
}
