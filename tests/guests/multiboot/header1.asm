; SPDX-License-Identifier: Apache-2.0
;
; Entry of the multiboot (version 1) guest. main() is told EAX and EBX.

bits 32
section .note.GNU-stack noalloc noexec nowrite progbits

section .text progbits alloc exec nowrite align=16
align 4
FLAGS equ 3                             ; modules on pages, a memory map
        dd 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)

extern main
global _start
_start: mov esp, stack_top
        push ebx
        push eax
        call main
.end:   hlt
        jmp .end

section .bss nobits alloc noexec write align=16
        resb 16384
stack_top:
