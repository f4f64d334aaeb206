/* Names of files, which other processes may want at the same time: how a new file is made beside one, and how it takes
 * a name. Nothing here follows a link. Private to results/. */
#ifndef PLACE_H
#define PLACE_H

#include <stdbool.h>
#include <sys/stat.h>

/* What a name led to when it was looked at. */
struct place {
    bool there;
    mode_t mode;
    dev_t device;
    ino_t inode;
};

/* Both set the error line where they are false. */
bool place_look(const char *path, struct place *);
bool place_opened(int descriptor, const char *path, struct place *);
/* Does the name lead to that file? */
bool place_is(const char *path, const struct place *);

/* PATH and a random end, in new memory: a name that is not taken. NULL: no memory, or nothing can be written there. */
char *place_beside(const char *path);

/* Removes the files of such names, for PATH and PATH.part, that a killed process left: the caller's own, with one name,
 * and unlocked where locks work. Another process that begins PATH at this moment may lose its new file after making it
 * and before locking it; then that process is refused. */
void place_clean(const char *path);

/* Gives the file FROM the name TO, where TO leads to what was seen: where that was nothing, no file is replaced; else
 * it is replaced, by one step, and only if no process holds a lock on it. Two processes that saw the same cannot both
 * succeed, with file locks or without. false: the error line says what TO became. */
bool place_take(const char *from, const char *to, const struct place *seen);

/* Is this the errno of a lock that the file system does not have (NFS, Lustre, DVS, FUSE)? */
bool place_has_no_locks(int error);
/* Locks an open file, new and the caller's own, for as long as the descriptor that it returns is open, whatever becomes
 * of the other. -1: `error` says why; 0: HDF5_USE_FILE_LOCKING says that there shall be none. EWOULDBLOCK means no
 * locks here, for no other process knows the file. */
int place_lock(int descriptor, int *error);
/* Is another process writing it? A file system without locks says no, and so does one that refuses to lock a new file
 * beside it as well: then errno says so, 0: there are locks, and it is free. */
bool place_locked(const char *path);
/* Does HDF5_USE_FILE_LOCKING have HDF5 take a lock of its own, which the file system refuses? Its errno, else 0. */
int place_hdf5_refused(const char *path);

/* Removes the name if it leads to that file. */
void place_remove(const char *path, const struct place *);

#endif
