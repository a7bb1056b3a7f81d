/* Preloaded, makes writes below a folder fail: the FAULT_NTH one and all after it.

   cc -shared -fPIC -o failing_writes.so failing_writes.c -ldl
   LD_PRELOAD=./failing_writes.so FAULT_FOLDER=/runs/a FAULT_NTH=3 FAULT_ERRNO=28 ... */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long writes;

/* The error this write must fail with, 0 for none. */
static int fault(int fd) {
  const char *folder = getenv("FAULT_FOLDER"), *nth = getenv("FAULT_NTH");
  const char *number = getenv("FAULT_ERRNO");
  if (!folder || !nth || !number) return 0;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return 0;
  path[size] = 0;
  if (strncmp(path, folder, strlen(folder))) return 0;
  return atomic_fetch_add(&writes, 1) + 1 >= atol(nth) ? atoi(number) : 0;
}

#define WRAP(name, parameters, arguments)                  \
  ssize_t name parameters {                                \
    static ssize_t(*real) parameters;                      \
    if (!real) real = dlsym(RTLD_NEXT, #name);             \
    int error = fault(fd);                                 \
    if (error) { errno = error; return -1; }               \
    return real arguments;                                 \
  }

WRAP(write, (int fd, const void *data, size_t size), (fd, data, size))
WRAP(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
WRAP(writev, (int fd, const struct iovec *parts, int num), (fd, parts, num))
