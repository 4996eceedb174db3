; SPDX-License-Identifier: Apache-2.0
;
; The multiboot2 header and the way from the loader's 32-bit mode to C. The EFI application (boot/efi/) enters
; in 64-bit mode and is brought down to the same 32-bit state first: whatever firmware left on (five levels of
; tables, PCID, shadow stacks) can only be turned off there, and from then on there is one path.
;
; It is gone twice. Until the units translate, a device may write anywhere, so the first start does nothing but
; protect memory and check the image; then .data and .bss are made new, and Sluice starts.
;
; The entry runs wherever the loader put the image (2 MiB aligned, below 4 GiB). It maps the first 4 GiB at 0
; and at DIRECT_VA, and the image at IMAGE_VA; paging_relocate() replaces that with the final tables.

LOAD_PA         equ 0x1000000
IMAGE_ALIGN     equ 0x200000

MB2_MAGIC       equ 0xe85250d6          ; of the header
MB2_LOADED      equ 0x36d76289          ; what a multiboot2 loader leaves in EAX
EFI_LOADED      equ 0x45464953          ; what stands for the EFI application: boot/boot_info.h

EFER            equ 0xc0000080
EFER_LME        equ 1 << 8
EFER_NXE        equ 1 << 11
CR0_INIT        equ 0x80010033          ; PG WP NE ET MP PE
CR0_PG          equ 1 << 31
CR4_PAE         equ 1 << 5

COM1            equ 0x3f8
COM1_LSR        equ COM1 + 5

CS64            equ 0x08
DS64            equ 0x10
CS32            equ 0x18

extern entry_boot_tables                ; distances from the load address, see linker.ld
extern entry_image_size
extern entry_stack
extern entry_kept
extern entry_data
extern entry_data_words
extern entry_data_kept
extern entry_fresh
extern entry_fresh_words
extern boot_stack_top
extern boot_start

; ---- Header -----------------------------------------------------------------------------------------

section .boot progbits alloc exec nowrite align=4096
header:
        dd MB2_MAGIC
        dd 0                            ; i386
        dd header_end - header
        dd -(MB2_MAGIC + (header_end - header)) & 0xffffffff

        align 8                         ; information request: command line, modules, memory map
        dw 1, 0
        dd 20
        dd 1, 3, 6

        align 8                         ; modules on page boundaries
        dw 6, 0
        dd 8

        align 8                         ; may be loaded elsewhere: lowest place from LOAD_PA on
        dw 10, 1
        dd 24
        dd LOAD_PA, 0xffffffff, IMAGE_ALIGN, 1

        align 8                         ; end
        dw 0, 0
        dd 8
header_end:

; For the EFI application, see boot/efi/handover.c: struct image_header.
        times 0x80 - ($ - $$) db 0
        db "SLUICE64"
        dd efi_entry - $$
        dd entry_image_size

; ---- 32-bit entry: EAX = magic, EBX = boot information, flat segments, no stack ------------------------

bits 32
global multiboot2_entry
multiboot2_entry:
        cli
        cld
        cmp eax, MB2_LOADED
        jne hang                       ; EBX is not to be trusted: nothing can be said
        ; The second word of the boot information is reserved: room for one return address.
        lea esp, [ebx + 8]
        call .here
.here:
        pop ebp
        sub ebp, .here - $$             ; from here on EBP = load address

; From here on one path. EAX = who loaded us, EBX = boot information, EBP = load address: struct boot_kept.
first_start:
        mov [ebp + entry_kept], eax
        mov [ebp + entry_kept + 4], ebx
        rdtsc
        mov [ebp + entry_kept + 8], eax
        mov [ebp + entry_kept + 12], edx
        lea esi, [ebp + entry_data]
        lea edi, [ebp + entry_data_kept]
        mov ecx, entry_data_words
        rep movsd
        jmp enter

second_start:
        lea edi, [ebp + entry_fresh]
        mov ecx, entry_fresh_words
        xor eax, eax
        rep stosd
        lea esi, [ebp + entry_data_kept]
        lea edi, [ebp + entry_data]
        mov ecx, entry_data_words
        rep movsd

enter:
        lea esp, [ebp + entry_stack]
        test ebp, IMAGE_ALIGN - 1
        mov esi, text_unaligned
        jnz refuse

        mov eax, 0x80000000
        cpuid
        cmp eax, 0x80000001
        mov esi, text_no_long_mode
        jb refuse
        mov eax, 0x80000001
        cpuid
        mov esi, text_no_long_mode
        bt edx, 29
        jnc refuse
        mov esi, text_no_nx
        bt edx, 20
        jnc refuse

        call build_tables
        mov eax, CR4_PAE
        mov cr4, eax
        lea eax, [ebp + entry_boot_tables]
        mov cr3, eax
        mov ecx, EFER
        xor edx, edx
        mov eax, EFER_LME | EFER_NXE
        wrmsr
        mov eax, CR0_INIT
        mov cr0, eax

        lea eax, [ebp + (boot_gdt - $$)]
        push eax
        sub esp, 2
        mov word [esp], boot_gdt_end - boot_gdt - 1
        lgdt [esp]
        add esp, 6
        push dword CS64
        lea eax, [ebp + (entry64 - $$)]
        push eax
        retf

; ESI = text, as an offset in this section.
refuse:
        lea esi, [ebp + esi]
.next:
        lodsb
        test al, al
        jz hang
        mov ah, al
        mov ecx, 100000                 ; a missing UART must not hold us
.wait:
        mov dx, COM1_LSR
        in al, dx
        test al, 0x20
        jnz .send
        dec ecx
        jnz .wait
.send:
        mov dx, COM1
        mov al, ah
        out dx, al
        jmp .next
hang:
        cli
        hlt
        jmp hang

; Tables at boot_tables, zeroed with the rest of .bss: PML4, PDPT low, PDPT high, PD high, 4 PD low.
; EBP = load address.
build_tables:
        lea ebx, [ebp + entry_boot_tables]
        lea eax, [ebx + 0x1003]
        mov [ebx], eax                  ; 0
        mov [ebx + 256 * 8], eax        ; DIRECT_VA
        lea eax, [ebx + 0x2003]
        mov [ebx + 511 * 8], eax        ; IMAGE_VA
        lea eax, [ebx + 0x3003]
        mov [ebx + 0x2000 + 510 * 8], eax

        lea eax, [ebx + 0x4003]
        xor ecx, ecx
.pdpt:
        mov [ebx + 0x1000 + ecx * 8], eax
        add eax, 0x1000
        inc ecx
        cmp ecx, 4
        jb .pdpt

        mov eax, 0x83                   ; present, writable, 2 MiB
        xor ecx, ecx
.low:
        mov [ebx + 0x4000 + ecx * 8], eax
        add eax, 0x200000
        inc ecx
        cmp ecx, 4 * 512
        jb .low

        lea eax, [ebp + 0x83]
        xor ecx, ecx
        mov edx, entry_image_size
.high:
        mov [ebx + 0x3000 + ecx * 8], eax
        add eax, 0x200000
        inc ecx
        sub edx, 0x200000
        ja .high
        ret

; ---- 64-bit entry of the EFI application: RDI = boot information, below 4 GiB; all memory mapped 1:1 ------

bits 64
efi_entry:
        cli
        cld
        mov ebx, edi
        mov esi, first_start - $$
        lea rsp, [rel header]
        add rsp, entry_stack

; ESI = where to go on in 32-bit mode, as an offset in this section.
to_32:
        lea rbp, [rel header]
        lea rax, [rel boot_gdt]
        push rax
        sub rsp, 2
        mov word [rsp], boot_gdt_end - boot_gdt - 1
        lgdt [rsp]
        add rsp, 10
        push CS32
        lea rax, [rel .compatibility]
        push rax
        retfq
bits 32
.compatibility:
        mov eax, DS64
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov eax, cr0
        and eax, ~CR0_PG
        mov cr0, eax
        mov eax, EFI_LOADED
        add esi, ebp
        jmp esi

; ---- 64-bit mode, own tables ----------------------------------------------------------------------------

bits 64
entry64:
        mov eax, DS64
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        mov rsp, boot_stack_top
        mov edi, ebp
        mov rax, boot_start
        call rax                        ; (load address): start.c. Comes back from the first start
        mov esi, second_start - $$
        jmp to_32

align 8
boot_gdt:
        dq 0
        dq 0x00af9b000000ffff           ; 64-bit code
        dq 0x00cf93000000ffff           ; data
        dq 0x00cf9b000000ffff           ; 32-bit code
boot_gdt_end:

text_unaligned equ $ - $$
        db "sluice: cannot start: the boot loader put the image at an address that is not 2 MiB aligned", 13, 10, 0
text_no_long_mode equ $ - $$
        db "sluice: cannot start: this CPU has no 64-bit mode", 13, 10, 0
text_no_nx equ $ - $$
        db "sluice: cannot start: this CPU has no no-execute pages, or firmware has turned them off", 13, 10, 0

; Used again by nothing after paging_relocate().
section .bss.boot_tables nobits alloc noexec write align=4096
global boot_tables
boot_tables:
        resb 8 * 4096
