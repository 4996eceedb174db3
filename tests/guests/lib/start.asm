; SPDX-License-Identifier: Apache-2.0
;
; Entry of every test guest: the PVH boot protocol (32-bit protected mode, paging off, EBX = start info), then
; long mode with everything below 512 GiB mapped one to one, an IDT, and main().

bits 32

MAGIC_PVH     equ 0x336ec578
XEN_NOTE_ENTRY equ 18

PTE_P         equ 1
PTE_W         equ 2
PTE_PS        equ 0x80

section .note.GNU-stack noalloc noexec nowrite progbits

section .note.Xen note alloc noexec nowrite align=4
        dd 4, 8, XEN_NOTE_ENTRY
        db "Xen", 0
        dq pvh_entry            ; 8 bytes in a 64-bit ELF: loaders read a native word

section .bss nobits alloc noexec write align=4096
pml4:   resb 4096
pdpt:   resb 4096
pd:     resb 4 * 4096
stack:  resb 64 * 1024
stack_top:

section .data progbits alloc noexec write align=16
gdt:    dq 0
        dq 0x00af9b000000ffff   ; 0x08: 64-bit code
        dq 0x00cf93000000ffff   ; 0x10: data
        dq 0x00cf9b000000ffff   ; 0x18: 32-bit code
gdtr:   dw gdtr - gdt - 1
        dq gdt
idtr:   dw 256 * 16 - 1
        dq idt

section .text progbits alloc exec nowrite align=16
global pvh_entry
pvh_entry:
        cli
        cld
        mov esp, stack_top
        mov ebp, ebx

        ; The loader clears .bss. 2 MiB pages up to 4 GiB, so that devices and RAM can be told apart; 1 GiB above.
        mov eax, pdpt
        or eax, PTE_P | PTE_W
        mov [pml4], eax
        mov edi, pdpt
        mov eax, pd
        or eax, PTE_P | PTE_W
        mov ecx, 4
.pdpt:  mov [edi], eax
        add eax, 4096
        add edi, 8
        loop .pdpt
        mov ecx, 508
        mov eax, PTE_P | PTE_W | PTE_PS
        mov edx, 1              ; 4 GiB
.big:   mov [edi], eax
        mov [edi + 4], edx
        add edi, 8
        add eax, 1 << 30
        adc edx, 0
        loop .big
        mov edi, pd
        mov eax, PTE_P | PTE_W | PTE_PS
        mov ecx, 4 * 512
.pd:    mov [edi], eax
        add eax, 1 << 21
        add edi, 8
        loop .pd

        mov eax, cr4
        or eax, 1 << 5          ; PAE
        mov cr4, eax
        mov eax, pml4
        mov cr3, eax
        mov ecx, 0xc0000080     ; EFER.LME
        rdmsr
        or eax, 1 << 8
        wrmsr
        mov eax, cr0
        or eax, 0x80010001      ; PG, WP, PE
        and eax, ~0x60000000    ; caches on
        mov cr0, eax
        lgdt [gdtr]
        jmp 0x08:long_mode

bits 64
long_mode:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        xor eax, eax
        mov fs, eax
        mov gs, eax
        mov esp, stack_top
        lidt [idtr]
        mov edi, ebp
        extern guest_start
        call guest_start
.dead:  cli
        hlt
        jmp .dead

; One stub per vector. All leave the same frame: registers, vector, error code, then what the CPU pushed.
%macro STUB 1
stub_%1:
%if %1 = 8 || (%1 >= 10 && %1 <= 14) || %1 = 17 || %1 = 21 || %1 = 29 || %1 = 30
%else
        push 0
%endif
        push %1
        jmp trap_common
%endmacro

%assign v 0
%rep 256
STUB v
%assign v v+1
%endrep

trap_common:
        push rax
        push rbx
        push rcx
        push rdx
        push rsi
        push rdi
        push rbp
        push r8
        push r9
        push r10
        push r11
        push r12
        push r13
        push r14
        push r15
        cld
        mov rdi, rsp
        mov rbx, rsp
        and rsp, ~15
        extern guest_trap
        call guest_trap
        mov rsp, rbx
        pop r15
        pop r14
        pop r13
        pop r12
        pop r11
        pop r10
        pop r9
        pop r8
        pop rbp
        pop rdi
        pop rsi
        pop rdx
        pop rcx
        pop rbx
        pop rax
        add rsp, 16
        iretq

section .rodata progbits alloc noexec nowrite align=8
global trap_stubs
trap_stubs:
%assign v 0
%rep 256
        dq stub_%+v
%assign v v+1
%endrep

section .bss
alignb 4096
global idt
idt:    resb 256 * 16
