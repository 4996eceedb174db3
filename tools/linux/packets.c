/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends numbered packets whose every byte follows from the number, so that a card can tell whether what it
 * was given is what was written (tests/e2e/net_device.py).
 *
 * Short and long ones take turns, as on any network, so that their memory comes from many places.
 *
 * usage: packets INTERFACE COUNT MILLISECONDS     (pause behind each)
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <linux/if_packet.h>

#define ETHERTYPE 0x88b5 /* for local experiments */
#define ETHERNET  14
#define MIN_BYTES 50
#define MAX_BYTES 1500

int main(int argc, char **argv)
{
    static const unsigned char header[ETHERNET] = {
        255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, ETHERTYPE >> 8, ETHERTYPE & 255
    };
    unsigned char packet[ETHERNET + MAX_BYTES];
    struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE) };
    unsigned count, pause;
    int s;

    if (argc != 4) {
        fprintf(stderr, "usage: packets INTERFACE COUNT MILLISECONDS\n");
        return 2;
    }
    to.sll_ifindex = (int)if_nametoindex(argv[1]);
    count = (unsigned)atoi(argv[2]);
    pause = (unsigned)atoi(argv[3]);
    s = socket(AF_PACKET, SOCK_RAW, htons(ETHERTYPE));
    if (s < 0 || bind(s, (struct sockaddr *)&to, sizeof(to))) {
        perror("packets");
        return 1;
    }
    memcpy(packet, header, ETHERNET);
    for (unsigned n = 0; n < count; n++) {
        unsigned bytes = MIN_BYTES + n * 397 % (MAX_BYTES - MIN_BYTES);

        for (unsigned i = 4; i < bytes; i++)
            packet[ETHERNET + i] = (unsigned char)(n * 167 + i * 13 + (n >> 8));
        memcpy(packet + ETHERNET, &n, 4);
        if (send(s, packet, ETHERNET + bytes, 0) != (ssize_t)(ETHERNET + bytes)) {
            perror("packets: send");
            return 1;
        }
        nanosleep(&(struct timespec){ .tv_nsec = pause * 1000000l }, NULL);
    }
    return 0;
}
