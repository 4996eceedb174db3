/* SPDX-License-Identifier: Apache-2.0 */
/* kexec KERNEL INITRD CMDLINE: the running Linux starts another one in its place. */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: kexec KERNEL INITRD CMDLINE\n");
        return 2;
    }
    int kernel = open(argv[1], O_RDONLY), initrd = open(argv[2], O_RDONLY);

    if (kernel < 0 || initrd < 0 ||
        syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[3]) + 1, argv[3], 0) != 0) {
        perror("kexec");
        return 1;
    }
    sync();
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
    perror("kexec");
    return 1;
}
