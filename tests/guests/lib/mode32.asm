; SPDX-License-Identifier: Apache-2.0
;
; u32 read_with_paging_off(u32 address): one 32-bit load in protected mode without paging, then back to long mode.

bits 64
default rel

section .text progbits alloc exec nowrite align=16
global read_with_paging_off
read_with_paging_off:
        push rbx
        push rbp
        pushfq
        cli
        mov ebx, edi
        mov rbp, rsp
        ; Compatibility mode first: paging cannot go off in 64-bit mode.
        push 0x18
        mov eax, .compat
        push rax
        retfq

bits 32
.compat:
        mov ecx, 0x10
        mov ss, ecx
        mov ds, ecx
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax            ; long mode is left
        jmp .off
.off:   mov esi, [ebx]
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax            ; EFER.LME is still set
        jmp 0x08:.back

bits 64
.back:
        mov rsp, rbp
        popfq
        pop rbp
        pop rbx
        mov eax, esi
        ret
