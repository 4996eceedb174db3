; SPDX-License-Identifier: Apache-2.0
;
; From the hypervisor into the guest and back. GIF is 0 throughout: nothing interrupts the moments in which
; half of the state is the guest's.

section .text

; Distances in vcpu.gpr, in the hardware's encoding order; asserted in svm_exit.c.
%define GPR(n) 8 * n

; RDI = vcpu.gpr, RSI = VMCB, RDX = what VMLOAD gives the host back; the last two are physical. Nothing but RSP
; is preserved: svm_run() says so to the compiler. RAX and RSP travel in the VMCB.
; VMRUN exchanges only part of the state; FS, GS, TR, LDTR and the system-call MSRs go by VMLOAD and VMSAVE,
; so that host code never runs with a GS base or a task segment that the guest chose.
global svm_enter
svm_enter:
        push rdx
        push rdi
        mov rax, rsi
        vmload
        mov rcx, [rdi + GPR(1)]
        mov rdx, [rdi + GPR(2)]
        mov rbx, [rdi + GPR(3)]
        mov rbp, [rdi + GPR(5)]
        mov rsi, [rdi + GPR(6)]
        mov r8, [rdi + GPR(8)]
        mov r9, [rdi + GPR(9)]
        mov r10, [rdi + GPR(10)]
        mov r11, [rdi + GPR(11)]
        mov r12, [rdi + GPR(12)]
        mov r13, [rdi + GPR(13)]
        mov r14, [rdi + GPR(14)]
        mov r15, [rdi + GPR(15)]
        mov rdi, [rdi + GPR(7)]
        vmrun
        vmsave
        pop rax
        mov [rax + GPR(1)], rcx
        mov [rax + GPR(2)], rdx
        mov [rax + GPR(3)], rbx
        mov [rax + GPR(5)], rbp
        mov [rax + GPR(6)], rsi
        mov [rax + GPR(7)], rdi
        mov [rax + GPR(8)], r8
        mov [rax + GPR(9)], r9
        mov [rax + GPR(10)], r10
        mov [rax + GPR(11)], r11
        mov [rax + GPR(12)], r12
        mov [rax + GPR(13)], r13
        mov [rax + GPR(14)], r14
        mov [rax + GPR(15)], r15
        pop rax
        vmload
        ret
