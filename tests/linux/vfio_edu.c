/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vfio_edu GROUP PCI-ADDRESS: a program that owns QEMU's `edu` device, as a virtual machine would. The device
 * reads the program's page by DMA and writes it back elsewhere; then the page is unmapped, and the device
 * must not reach it any more.
 */
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE     4096u
#define IOVA     0x10000000ull
#define BUFFER   0x40000u /* inside the device */
#define EDU_SRC  0x80
#define EDU_DST  0x88
#define EDU_LEN  0x90
#define EDU_CMD  0x98
#define CMD_RUN  1u
#define CMD_BACK 2u /* from the device to memory */

static volatile uint8_t *edu;
static int container;

static void edu64(unsigned reg, uint64_t value)
{
    *(volatile uint64_t *)(edu + reg) = value;
}

/* One transfer; false when it does not end. */
static int transfer(uint64_t from, uint64_t to, uint32_t command)
{
    edu64(EDU_SRC, from);
    edu64(EDU_DST, to);
    edu64(EDU_LEN, PAGE);
    edu64(EDU_CMD, command | CMD_RUN);
    for (time_t end = time(NULL) + 20; *(volatile uint64_t *)(edu + EDU_CMD) & CMD_RUN;)
        if (time(NULL) > end)
            return 0;
    return 1;
}

static int map(void *at, uint64_t iova)
{
    struct vfio_iommu_type1_dma_map m = { .argsz = sizeof(m),
                                          .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                          .vaddr = (uint64_t)at,
                                          .iova = iova,
                                          .size = PAGE };
    return ioctl(container, VFIO_IOMMU_MAP_DMA, &m);
}

static int unmap(uint64_t iova)
{
    struct vfio_iommu_type1_dma_unmap u = { .argsz = sizeof(u), .iova = iova, .size = PAGE };
    return ioctl(container, VFIO_IOMMU_UNMAP_DMA, &u);
}

static int own(const char *group_number, const char *address)
{
    char path[64];
    int group, device;
    struct vfio_region_info bar = { .argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX };
    struct vfio_region_info config = { .argsz = sizeof(config), .index = VFIO_PCI_CONFIG_REGION_INDEX };
    uint16_t command = 6; /* memory, bus master */

    snprintf(path, sizeof(path), "/dev/vfio/%s", group_number);
    container = open("/dev/vfio/vfio", O_RDWR);
    group = open(path, O_RDWR);
    if (container < 0 || group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
        ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
        return 0;
    device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
    if (device < 0 || ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) ||
        ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) ||
        pwrite(device, &command, sizeof(command), (off_t)config.offset + 4) != sizeof(command))
        return 0;
    edu = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)bar.offset);
    return edu != MAP_FAILED;
}

int main(int argc, char **argv)
{
    uint8_t *a =
        mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    uint8_t *b = a + PAGE;

    if (argc != 3 || a == MAP_FAILED || !own(argv[1], argv[2])) {
        perror("vfio_edu");
        return 1;
    }
    memset(a, 0x5a, PAGE);
    if (map(a, IOVA) || map(b, IOVA + PAGE) || !transfer(IOVA, BUFFER, 0) ||
        !transfer(BUFFER, IOVA + PAGE, CMD_BACK) || memcmp(a, b, PAGE) != 0) {
        perror("vfio_edu: transfer");
        return 1;
    }
    memset(b, 0, PAGE);
    if (unmap(IOVA + PAGE) < 0 || !transfer(BUFFER, IOVA + PAGE, CMD_BACK) || b[0] || b[PAGE - 1]) {
        fprintf(stderr, "vfio_edu: the device reaches what was unmapped\n");
        return 1;
    }
    printf("vfio_edu: good\n");
    return 0;
}
