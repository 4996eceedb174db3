; SPDX-License-Identifier: Apache-2.0
;
; Exception entries.

extern exception
extern vmx_window, vmx_window_end, vmx_window_nmi

NMI_COUNT       equ 24                  ; in struct percpu, asserted in arch/cpu.h

section .text

; Vectors 8, 10-14, 17, 21, 29 and 30 come with an error code (AMD APM 2, 8.2).
%macro ENTRY 1
align 16
except_%1:
%if !(%1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17 || %1 == 21 || %1 == 29 || %1 == 30)
        push 0
%endif
        push %1
        jmp exception_common
%endmacro

%assign v 0
%rep 32
%if v != 2
        ENTRY v
%endif
%assign v v + 1
%endrep

; Counted, nothing else: the code that lets NMIs through compares the count. No log, no lock, no string
; instruction, no register. One that comes on the last steps into a VMX guest makes that entry give up, or the
; guest would run on without a look at it (arch/vmx/entry.asm). The same between cpu_idle's look and its halt.
%macro WINDOW 3                         ; first, behind the last, where to go on instead
        cmp qword [rsp], %1
        jb %%outside
        cmp qword [rsp], %2
        jae %%outside
        mov qword [rsp], %3
%%outside:
%endmacro

align 16
except_2:
        inc dword [gs:NMI_COUNT]
        WINDOW vmx_window, vmx_window_end, vmx_window_nmi
        WINDOW idle_window, idle_done, idle_done
        iretq

; void cpu_idle(const u32 *word, u32 unless)
global cpu_idle
cpu_idle:
idle_window:
        cmp [rdi], esi
        jne idle_done
        hlt
idle_done:
        ret

; All but RSP, in the order of struct regs (arch/except.h).
%define GPRS rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
%macro PUSH 1-*
%rep %0
        push %1
%rotate 1
%endrep
%endmacro
%macro POP 1-*
%rep %0
%rotate -1
        pop %1
%endrep
%endmacro

align 16
exception_common:
        PUSH GPRS
        cld
        mov rdi, rsp
        xor ebp, ebp
        call exception                  ; returns only after a fixup
        POP GPRS
        add rsp, 16
        iretq

; void switch_space(void *dst, const void *src, u64 size, u64 cr3): the last write before the copy is the
; return address, so that the copy is complete when it becomes the running image.
global switch_space
switch_space:
        mov rax, rcx
        mov rcx, rdx
        shr rcx, 3
        rep movsq
        mov cr3, rax
        ret

section .rodata
align 8
global except_entries
except_entries:
%assign v 0
%rep 32
        dq except_%+v
%assign v v + 1
%endrep
