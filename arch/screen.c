/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/screen.h"
#include "arch/paging.h"

/* Pixels of a character, and of its cell with the space around it; doubled on wide screens. */
#define FONT_HEIGHT 8
#define CELL_WIDTH  6
#define CELL_HEIGHT 10
#define WIDE        1024

/* Space to tilde, a byte for each row from the top, the leftmost pixel in bit 0. */
static const u64 font[95] = {
    0x0000000000000000, 0x0004000404040404, 0x00000000000a0a0a, 0x000a0a1f0a1f0a0a, 0x00040f140e051e04,
    0x0018190204081303, 0x0016091502050906, 0x0000000000040404, 0x0008040202020408, 0x0002040808080402,
    0x000004150e150400, 0x000004041f040400, 0x0204040000000000, 0x000000001f000000, 0x0006060000000000,
    0x0001010204081010, 0x000e11131519110e, 0x000e040404040604, 0x001f02040810110e, 0x000e11100c10110e,
    0x0008081f090a0c08, 0x000e1110100f011f, 0x000e11110f01020c, 0x000404040808101f, 0x000e11110e11110e,
    0x000608101e11110e, 0x0000060600060600, 0x0002040400040400, 0x0008040201020408, 0x0000001f001f0000,
    0x0002040810080402, 0x000400040810110e, 0x001e011d151d110e, 0x0011111f11110a04, 0x000f11110f11110f,
    0x000e11010101110e, 0x0007091111110907, 0x001f01010f01011f, 0x000101010f01011f, 0x001e11111d01110e,
    0x001111111f111111, 0x000e04040404040e, 0x000609080808081c, 0x0011090503050911, 0x001f010101010101,
    0x0011111115151b11, 0x0011191915131311, 0x000e11111111110e, 0x000101010f11110f, 0x001609151111110e,
    0x001109050f11110f, 0x000f10100e01011e, 0x000404040404041f, 0x000e111111111111, 0x00040a0a11111111,
    0x00111b1515111111, 0x0011110a040a1111, 0x00040404040a1111, 0x001f01020408101f, 0x000e02020202020e,
    0x0010100804020101, 0x000e08080808080e, 0x0000000000110a04, 0x1f00000000000000, 0x0000000000080402,
    0x001e111e100e0000, 0x000f1111110f0101, 0x001e0101011e0000, 0x001e1111111e1010, 0x000e011f110e0000,
    0x000202020702120c, 0x0e101e11111e0000, 0x00111111130d0101, 0x000e040404060004, 0x06090808080c0008,
    0x0009050305090101, 0x000e040404040406, 0x00151515150b0000, 0x00111111130d0000, 0x000e1111110e0000,
    0x01010f11110f0000, 0x10101e11111e0000, 0x00010101130d0000, 0x000f100e011e0000, 0x000c120202070202,
    0x0016191111110000, 0x00040a1111110000, 0x000a151511110000, 0x00110a040a110000, 0x0e101e1111110000,
    0x001f0204081f0000, 0x0008040402040408, 0x0004040404040404, 0x0002040408040402, 0x0000000815020000,
};

static struct {
    volatile u32 *pixels; /* NULL = no screen */
    unsigned scale, columns, rows;
    unsigned pitch; /* pixels */
    unsigned column, row;
    bool lent;
} screen;

void screen_init(const struct boot_framebuffer *fb)
{
    screen.pixels = NULL;
    if (!fb || !fb->base || 4ull * fb->width > fb->pitch || (u64)fb->pitch * fb->height > fb->size)
        return;
    screen.scale = fb->width >= WIDE ? 2 : 1;
    screen.columns = fb->width / (CELL_WIDTH * screen.scale);
    screen.rows = fb->height / (CELL_HEIGHT * screen.scale);
    screen.pitch = fb->pitch / 4;
    if (screen.columns && screen.rows > 1)
        screen.pixels = mmio_map(fb->base, (u64)fb->pitch * fb->height);
}

static void draw(unsigned column, unsigned row, char c)
{
    u64 glyph = c >= ' ' && c <= '~' ? font[c - ' '] : 0;

    for (unsigned y = 0; y < CELL_HEIGHT * screen.scale; y++) {
        volatile u32 *line = screen.pixels + (u64)(row * CELL_HEIGHT * screen.scale + y) * screen.pitch;
        unsigned bits = y / screen.scale < FONT_HEIGHT ? glyph >> 8 * (y / screen.scale) & 0xff : 0;

        for (unsigned x = 0; x < CELL_WIDTH * screen.scale; x++)
            line[column * CELL_WIDTH * screen.scale + x] = bits >> x / screen.scale & 1 ? ~0u : 0;
    }
}

/* An empty line below the newest one shows where it is. */
static void next_line(void)
{
    screen.column = 0;
    screen.row = (screen.row + 1) % screen.rows;
    for (unsigned i = 0; i < screen.columns; i++)
        draw(i, (screen.row + 1) % screen.rows, ' ');
}

void screen_write(const char *s, size_t len)
{
    for (size_t i = 0; i < len && screen.pixels && !screen.lent; i++) {
        if (s[i] == '\n' || screen.column == screen.columns)
            next_line();
        if (s[i] >= ' ')
            draw(screen.column++, screen.row, s[i]);
    }
}

void screen_ours(bool ours)
{
    screen.lent = !ours;
}
