; SPDX-License-Identifier: Apache-2.0
;
; Trips out of long mode: real mode, PAE paging, hardware tasks. The CPU must come back with what it did
; there.

bits 64

section .note.GNU-stack noalloc noexec nowrite progbits

SEL_CODE64 equ 0x08
SEL_DATA   equ 0x10
SEL_CODE32 equ 0x18
SEL_CODE16 equ 0x20
SEL_DATA16 equ 0x28
SEL_TSS_A  equ 0x30
SEL_TSS_B  equ 0x38
LOW        equ 0x7000           ; where code runs in real mode
EFER       equ 0xc0000080

section .data progbits alloc noexec write align=16
modes_gdt:
        dq 0
        dq 0x00af9b000000ffff
        dq 0x00cf93000000ffff
        dq 0x00cf9b000000ffff
        dq 0x00009b000000ffff
        dq 0x000093000000ffff
tss_a_entry: dq 0x0000890000000067
tss_b_entry: dq 0x0000890000000067
modes_gdtr:
        dw modes_gdtr - modes_gdt - 1
        dq modes_gdt
gate_idtr:
        dw 14 * 8 - 1
        dd gate_idt
alias_a: dd 0xa11a5a11          ; read through other addresses by trip_pae

section .bss nobits alloc noexec write align=4096
pae_pd:  resb 3 * 4096          ; identity below 1 GiB; two versions of the next
pae_pdpt: resb 32
gate_idt: resb 14 * 8
tss_a:   resb 0x68
tss_b:   resb 0x68
task_stack: resb 1024
task_stack_top:
saved_gdt: resb 10
saved_idt: resb 10
saved_esp: resd 1
saved_cr3: resd 1
result:  resd 1
alignb 8
global debug_rip, debug_dr6, debug_count
debug_rip: resq 1
debug_dr6: resq 1
debug_count: resd 1

section .text progbits alloc exec nowrite align=16

; u32 in_prot32(u32 (*code)(void)): calls 32-bit code in protected mode without paging.
global in_prot32
in_prot32:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        pushfq
        cli
        sgdt [saved_gdt]
        sidt [saved_idt]
        lgdt [modes_gdtr]
        mov rbp, rsp
        push SEL_CODE32
        mov eax, .compat
        push rax
        retfq
bits 32
.compat:
        call data_segments
        mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        jmp .off
.off:   push ebp
        call edi
        pop ebp
        mov esi, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp SEL_CODE64:.back
bits 64
.back:
        lgdt [saved_gdt]
        lidt [saved_idt]
        mov eax, SEL_DATA
        mov ss, eax
        mov ds, eax
        mov es, eax
        mov rsp, rbp
        popfq
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        mov eax, esi
        ret

bits 32
data_segments:
        mov ecx, SEL_DATA
        mov ss, ecx
        mov ds, ecx
        mov es, ecx
        ret

; Real mode: an interrupt through the vector table, and an instruction that a hypervisor handles. 0x1122.
global trip_real
trip_real:
        pushad
        mov [saved_esp], esp
        mov esi, low_start
        mov edi, LOW
        mov ecx, low_end - low_start
        rep movsb
        jmp SEL_CODE16:LOW
bits 16
low_start:
        mov ax, SEL_DATA16
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov eax, cr0
        and al, 0xfe
        mov cr0, eax
        jmp 0:LOW + (.real - low_start)
.real:  xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, LOW - 16
        lidt [LOW + (.idtr - low_start)]
        push dword [0x60 * 4]
        mov word [0x60 * 4], LOW + (.isr - low_start)
        mov word [0x60 * 4 + 2], 0
        xor bx, bx
        int 0x60
        pop dword [0x60 * 4]
        push bx
        mov eax, 1
        cpuid
        pop bx
        add bx, 0x22
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword SEL_CODE32:real_done
.isr:   add bx, 0x1100
        iret
.idtr:  dw 0x3ff
        dd 0
low_end:
bits 32
real_done:
        mov ecx, SEL_DATA       ; the stack is a 16-bit one until SS is loaded
        mov ss, ecx
        mov ds, ecx
        mov es, ecx
        mov esp, [saved_esp]
        movzx ebx, bx
        mov [result], ebx
        popad
        mov eax, [result]
        ret

; A hardware task: call it, let it use CPUID, come back by IRET. Bits: 0 NT in the task, 1 its back link, 2
; TR after the return, 3 CR0.TS, 4 only the first task is busy, 5 registers came back.
global trip_task
trip_task:
        pushad
        mov eax, tss_a
        mov edi, tss_a_entry
        call set_tss
        mov eax, tss_b
        mov edi, tss_b_entry
        call set_tss
        mov dword [tss_b + 0x20], .task
        mov dword [tss_b + 0x24], 2
        mov dword [tss_b + 0x38], task_stack_top
        mov eax, cr3
        mov [tss_b + 0x1c], eax
        mov dword [tss_b + 0x4c], SEL_CODE32
        mov eax, SEL_DATA
        mov [tss_b + 0x48], eax
        mov [tss_b + 0x50], eax
        mov [tss_b + 0x54], eax
        mov [tss_b + 0x58], eax
        mov [tss_b + 0x5c], eax
        mov ax, SEL_TSS_A
        ltr ax
        mov dword [result], 0
        mov ebx, 0x12345678
        mov esi, 0x9abcdef0
        call SEL_TSS_B:0
        xor edx, edx
        cmp ebx, 0x12345678
        setz dl
        cmp esi, 0x9abcdef0
        setz dh
        and dl, dh
        movzx edx, dl
        shl edx, 5
        or [result], edx
        str ax
        cmp ax, SEL_TSS_A
        jne .not_a
        or dword [result], 4
.not_a: mov eax, cr0
        test al, 8
        jz .no_ts
        or dword [result], 8
.no_ts: clts
        mov al, [tss_a_entry + 5]
        mov ah, [tss_b_entry + 5]
        cmp ax, 0x898b
        jne .busy
        or dword [result], 16
.busy:  popad
        mov eax, [result]
        ret
.task:  pushfd
        pop eax
        shr eax, 14
        and eax, 1
        or [result], eax
        cmp word [tss_b], SEL_TSS_A
        jne .link
        or dword [result], 2
.link:  mov eax, 1
        cpuid
        xor esi, esi
        iretd

; A fault through a task gate: #GP with an error code, whose handler is a task that lets the faulting one go
; on behind the instruction. Bits: 0 the error code, 1 its back link, 2 NT, 3 the saved EIP is the faulting
; one, 4 back again.
global trip_gate
trip_gate:
        pushad
        mov eax, tss_a
        mov edi, tss_a_entry
        call set_tss
        mov eax, tss_b
        mov edi, tss_b_entry
        call set_tss
        mov dword [tss_b + 0x20], .task
        mov dword [tss_b + 0x24], 2
        mov dword [tss_b + 0x38], task_stack_top
        mov eax, cr3
        mov [tss_b + 0x1c], eax
        mov dword [tss_b + 0x4c], SEL_CODE32
        mov eax, SEL_DATA
        mov [tss_b + 0x48], eax
        mov [tss_b + 0x50], eax
        mov [tss_b + 0x54], eax
        mov [tss_b + 0x58], eax
        mov [tss_b + 0x5c], eax
        mov ax, SEL_TSS_A
        ltr ax
        mov dword [gate_idt + 13 * 8], SEL_TSS_B << 16
        mov dword [gate_idt + 13 * 8 + 4], 0x8500
        lidt [gate_idtr]
        mov dword [result], 0
        mov ax, 0xfff8
.fault: mov ds, ax
.after: or dword [result], 16
        clts
        popad
        mov eax, [result]
        ret
.task:  pop eax
        cmp eax, 0xfff8
        jne .link
        or dword [result], 1
.link:  cmp word [tss_b], SEL_TSS_A
        jne .nt
        or dword [result], 2
.nt:    pushfd
        pop eax
        shr eax, 12
        and eax, 4
        or [result], eax
        cmp dword [tss_a + 0x20], .fault
        jne .back
        or dword [result], 8
.back:  mov dword [tss_a + 0x20], .after
        iretd

; A present, available 32-bit task at eax in the entry at edi.
set_tss:
        mov dword [edi], 0x67
        mov [edi + 2], ax
        shr eax, 16
        mov [edi + 4], al
        mov byte [edi + 5], 0x89
        mov byte [edi + 6], 0
        mov [edi + 7], ah
        ret

; PAE paging: the top entries are loaded by CR0 and CR3 and kept over an exit. Bits: 0 the alias reads
; right, 1 and still after CPUID, 2 and elsewhere after CR3 was loaded again.
global trip_pae
trip_pae:
        pushad
        mov eax, cr3
        mov [saved_cr3], eax
        mov edi, pae_pd
        mov eax, 0x83
        mov ecx, 512
.pd:    mov [edi], eax
        mov dword [edi + 4], 0
        add edi, 8
        add eax, 1 << 21
        loop .pd
        mov eax, alias_a
        and eax, ~0x1fffff
        or eax, 0x83
        mov [pae_pd + 4096], eax
        mov dword [pae_pd + 2 * 4096], 0x83
        mov dword [pae_pdpt], pae_pd + 1
        mov dword [pae_pdpt + 8], pae_pd + 4096 + 1
        mov ecx, EFER
        rdmsr
        and eax, ~0x100
        wrmsr
        mov eax, pae_pdpt
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        jmp .on
.on:    mov ebp, alias_a
        and ebp, 0x1fffff
        add ebp, 1 << 30
        xor edi, edi
        cmp dword [ebp], 0xa11a5a11
        jne .cpuid
        or edi, 1
.cpuid: mov eax, 1
        cpuid
        invlpg [ebp]
        cmp dword [ebp], 0xa11a5a11
        jne .cr3
        or edi, 2
.cr3:   mov dword [pae_pdpt + 8], pae_pd + 2 * 4096 + 1
        mov eax, cr3
        mov cr3, eax
        mov eax, [ebp]
        and ebp, 0x1fffff
        cmp eax, [ebp]
        jne .leave
        or edi, 4
.leave: mov eax, cr0
        and eax, 0x7fffffff
        mov cr0, eax
        mov eax, [saved_cr3]
        mov cr3, eax
        mov ecx, EFER
        rdmsr
        or eax, 0x100
        wrmsr
        mov [result], edi
        popad
        mov eax, [result]
        ret

; #DB: remembers where and why, and goes on without single steps.
bits 64
global debug_entry
debug_entry:
        push rax
        mov rax, [rsp + 8]
        mov [debug_rip], rax
        mov rax, dr6
        mov [debug_dr6], rax
        inc dword [debug_count]
        and dword [rsp + 24], ~0x100
        pop rax
        iretq
