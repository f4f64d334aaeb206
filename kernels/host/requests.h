/* One request: what the lanes of a warp ask for in one instruction, and what that costs. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include <stdint.h>

enum { LANES = 32, SECTOR = 32, BANKS = 32, WORD = 4 };

struct request {
    uintptr_t at[LANES]; /* of a lane, in its space */
    uint8_t bytes[LANES];
    int lanes;
};

/* Where the part of [from, to) in the first sector ends; `*mask`: its bytes in that sector, one bit each. */
static inline uintptr_t sector_part(uintptr_t from, uintptr_t to, uint32_t *mask) {
    uintptr_t next = (from / SECTOR + 1) * SECTOR < to ? (from / SECTOR + 1) * SECTOR : to;
    *mask = (uint32_t)(((uint64_t)1 << (next - from)) - 1) << from % SECTOR;
    return next;
}

/* Different sectors of a request, and the least number that could hold its different bytes. */
static inline void request_sectors(const struct request *r, int64_t *sectors, int64_t *least) {
    uintptr_t sector[2 * LANES];
    uint32_t mask[2 * LANES];
    int count = 0, bytes = 0;
    for (int lane = 0; lane < LANES; lane++)
        for (uintptr_t byte = r->at[lane], end = byte + r->bytes[lane]; byte < end;) {
            uintptr_t number = byte / SECTOR;
            uint32_t part;
            int k = count - 1;
            while (k >= 0 && sector[k] != number)
                k--;
            if (k < 0) {
                k = count++;
                sector[k] = number;
                mask[k] = 0;
            }
            byte = sector_part(byte, end, &part);
            mask[k] |= part;
        }
    for (int k = 0; k < count; k++)
        bytes += __builtin_popcount(mask[k]);
    *sectors += count;
    *least += (bytes + SECTOR - 1) / SECTOR;
}

/* The turns of the banks that a request takes, and the least possible. Different words of one bank go one after the
 * other. Words of 8 and 16 bytes go by halves and quarters of the warp. */
static inline void request_wavefronts(const struct request *r, int64_t *wavefronts, int64_t *least) {
    int widest = 0;
    for (int lane = 0; lane < LANES; lane++)
        widest = r->bytes[lane] > widest ? r->bytes[lane] : widest;
    int part = widest > 8 ? LANES / 4 : widest > 4 ? LANES / 2 : (int)LANES;
    for (int first = 0; first < LANES; first += part) {
        uintptr_t word[4 * LANES];
        int of_bank[BANKS] = {0}, count = 0, most = 0;
        for (int lane = first; lane < first + part; lane++) {
            if (!r->bytes[lane])
                continue;
            for (uintptr_t w = r->at[lane] / WORD; w <= (r->at[lane] + r->bytes[lane] - 1) / WORD; w++) {
                int k = count - 1;
                while (k >= 0 && word[k] != w)
                    k--;
                if (k >= 0)
                    continue;
                word[count++] = w;
                int in_bank = ++of_bank[w % BANKS];
                most = in_bank > most ? in_bank : most;
            }
        }
        *wavefronts += most;
        *least += (count + BANKS - 1) / BANKS;
    }
}

#endif
