; SPDX-License-Identifier: Apache-2.0
;
; Entry of the multiboot2 guest, which is not the one in the ELF header. main() is told EAX and EBX.

bits 32
section .note.GNU-stack noalloc noexec nowrite progbits

section .text progbits alloc exec nowrite align=16
align 8
header: dd 0xe85250d6, 0, header_end - header, -(0xe85250d6 + header_end - header)
align 8
        dw 1, 0                         ; information that must be there
        dd 8 + 5 * 4
        dd 1, 2, 3, 4, 6                ; command line, loader, modules, memory, its map
align 8
        dw 3, 0                         ; entry
        dd 12
        dd entry
align 8
        dw 6, 0                         ; modules on pages
        dd 8
align 8
        dw 0x7777, 1                    ; what nobody knows, but may be left out
        dd 8
align 8
        dw 0, 0
        dd 8
header_end:

extern main
global _start
_start: ud2
entry:  mov esp, stack_top
        push ebx
        push eax
        call main
.end:   hlt
        jmp .end

section .bss nobits alloc noexec write align=16
        resb 16384
stack_top:
