; SPDX-License-Identifier: Apache-2.0
;
; Where the guest's other processors begin: cpus.c copies this to AP_PAGE and sets what is at its end. Notes the
; state in which the processor started, then goes to long mode on the tables of the first one.

AP_PAGE         equ 0x8000              ; cpus.h

section .note.GNU-stack noalloc noexec nowrite progbits

%define AT(label) (label - ap_code)

section .rodata progbits alloc noexec nowrite align=16
global ap_code, ap_data, ap_code_end
bits 16
ap_code:
        cli
        mov ebx, edx
        mov edi, cr0
        mov ax, cs
        mov ds, ax
        o32 lgdt [AT(gdtr)]
        mov eax, [AT(cr3_value)]
        mov cr3, eax
        mov eax, 1 << 5                 ; PAE
        mov cr4, eax
        mov ecx, 0xc0000080             ; EFER.LME
        rdmsr
        or eax, 1 << 8
        wrmsr
        mov eax, 0x80010011             ; PG, WP, ET, PE; caches on
        mov cr0, eax
        jmp dword 0x08:AP_PAGE + AT(long_mode)

bits 64
long_mode:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        lidt [rel idtr]
        ; Each takes the next place in the list: several may start at once.
        mov eax, 1
        lock xadd [rel next], eax
        mov rcx, [rel list]
        mov rcx, [rcx + 8 * rax]
        mov rsp, [rcx]
        mov [rcx + 8], edi
        mov [rcx + 12], ebx
        mov rdi, rcx
        call [rel entry]
.dead:  cli
        hlt
        jmp .dead

align 8
ap_data:                                ; struct ap_data in cpus.c
gdtr:   dw 0
        dq 0
idtr:   dw 0
        dq 0
cr3_value:
        dq 0
list:   dq 0
entry:  dq 0
next:   dd 0
ap_code_end:
