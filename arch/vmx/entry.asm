; SPDX-License-Identifier: Apache-2.0
;
; Into the guest and out again. Host state that a VM exit does not restore is the GPRs only.

HOST_RSP_FIELD  equ 0x6c14              ; arch/vmx/vmcs.h
NMI_COUNT       equ 24                  ; in struct percpu, asserted in arch/cpu.h

; All but RSP, which is in the VMCS, and RDI, which points to them: a register and its number each.
%macro GPRS 1
        %1 rax, 0
        %1 rcx, 1
        %1 rdx, 2
        %1 rbx, 3
        %1 rbp, 5
        %1 rsi, 6
%assign n 8
%rep 8
        %1 r%[n], n
%assign n n + 1
%endrep
%endmacro
%macro LOAD 2
        mov %1, [rdi + 8 * %2]
%endmacro
%macro STORE 2
        mov [rdi + 8 * %2], %1
%endmacro

section .text

; int vmx_enter(u64 gpr[16], bool launched, u32 nmi_seen)
; 0: the guest ran and exited. 1, 2: the entry instruction failed (VMfailValid, VMfailInvalid). 3: an NMI has
; been taken by the host since nmi_seen, and the guest was not entered.
;
; VMX has no switch that holds NMIs back in root mode. One that comes before `vmx_window` changes the count
; that is compared here; one that comes in the window makes the handler return to vmx_window_nmi. So none is
; left unnoticed while the guest runs.
global vmx_enter
global vmx_window, vmx_window_end, vmx_window_nmi, vmx_exit
vmx_enter:
        push rbp
        push rbx
        push r12
        push r13
        push r14
        push r15
        push rdi
        mov eax, HOST_RSP_FIELD
        vmwrite rax, rsp
vmx_window:
        cmp edx, [gs:NMI_COUNT]
        jne vmx_window_nmi
        test sil, sil
        GPRS LOAD
        mov rdi, [rdi + 56]
        jz .launch
        vmresume
        jmp vmx_failed
.launch:
        vmlaunch
vmx_window_end:
vmx_failed:
        mov eax, 1
        mov ecx, 2
        cmovc eax, ecx
        jmp vmx_out
vmx_window_nmi:
        mov eax, 3
        jmp vmx_out

vmx_exit:
        push rdi
        mov rdi, [rsp + 8]
        GPRS STORE
        pop rax
        mov [rdi + 56], rax
        xor eax, eax
vmx_out:
        ; The guest's values are of no use here, and of none to a mispredicted branch.
        xor ecx, ecx
        xor edx, edx
        xor esi, esi
        xor edi, edi
        xor r8d, r8d
        xor r9d, r9d
        xor r10d, r10d
        xor r11d, r11d
        add rsp, 8
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbx
        pop rbp
        ret
