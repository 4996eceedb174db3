; SPDX-License-Identifier: Apache-2.0
;
; void enable_la57(u64 root): five levels of tables under running firmware. Only possible with paging off, so by
; way of 32-bit mode; code, stack and `root` lie below 4 GiB. Firmware's descriptors are put back at the end.

CR0_PG   equ 1 << 31
CR4_LA57 equ 1 << 12

section .text
bits 64
global enable_la57
enable_la57:
        pushfq
        cli
        sub rsp, 32
        sgdt [rsp]
        mov [rsp + 16], cs
        mov [rsp + 24], ds
        lea rax, [rel gdt]
        mov [rel gdt_pointer + 2], rax
        lgdt [rel gdt_pointer]
        lea rsi, [rel .long]
        push 0x18
        lea rax, [rel .compatibility]
        push rax
        retfq
bits 32
.compatibility:
        mov eax, 0x10
        mov ds, eax
        mov ss, eax
        mov eax, cr0
        and eax, ~CR0_PG
        mov cr0, eax
        mov eax, cr4
        or eax, CR4_LA57
        mov cr4, eax
        mov cr3, edi
        mov eax, cr0
        or eax, CR0_PG
        mov cr0, eax
        push dword 0x08
        push esi
        retf
bits 64
.long:
        lgdt [rsp]
        mov eax, [rsp + 24]
        mov ds, eax
        mov es, eax
        mov ss, eax
        movzx eax, word [rsp + 16]
        push rax
        lea rax, [rel .done]
        push rax
        retfq
.done:
        add rsp, 32
        popfq
        ret

section .data
align 8
gdt:
        dq 0
        dq 0x00af9b000000ffff           ; 64-bit code
        dq 0x00cf93000000ffff           ; data
        dq 0x00cf9b000000ffff           ; 32-bit code
gdt_pointer:
        dw 31
        dq 0
