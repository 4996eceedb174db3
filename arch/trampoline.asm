; SPDX-License-Identifier: Apache-2.0
;
; Where the other CPUs begin: a page below 1 MiB, to which arch/smp.c copies this and sets what is at the end.
; From real mode straight to 64-bit mode, on tables that map the page at its own address and all of Sluice.

EFER            equ 0xc0000080
EFER_LME        equ 1 << 8
EFER_NXE        equ 1 << 11
CR0_INIT        equ 0x80010033          ; PG WP NE ET MP PE
CR4_PAE         equ 1 << 5
CS64            equ 0x08
DS64            equ 0x10

%define AT(label) (label - trampoline)

section .rodata
global trampoline, trampoline_long, trampoline_gdt, trampoline_data, trampoline_end

align 16
bits 16
trampoline:
        cli
        cld
        mov ax, cs
        mov ds, ax
        o32 lgdt [AT(trampoline_data)]
        mov eax, [AT(cr3_value)]
        mov cr3, eax
        mov eax, CR4_PAE
        mov cr4, eax
        mov ecx, EFER
        xor edx, edx
        mov eax, EFER_LME | EFER_NXE
        wrmsr
        mov eax, CR0_INIT
        mov cr0, eax
        jmp far dword [AT(far_pointer)]

bits 64
trampoline_long:
        mov eax, DS64
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        mov rsp, [rel stack_top]
        mov rdi, [rel argument]
        call [rel entry]
        ud2

align 8
trampoline_gdt:
        dq 0
        dq 0x00af9b000000ffff           ; 64-bit code
        dq 0x00cf93000000ffff           ; data

; struct parameters in arch/smp.c.
trampoline_data:
        dw trampoline_data - trampoline_gdt - 1
        dd 0                            ; where the table is
far_pointer:
        dd 0
        dw CS64
cr3_value:
        dd 0
stack_top:
        dq 0
argument:
        dq 0
entry:
        dq 0
trampoline_end:
