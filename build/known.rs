//! What CMake would find out with a compile and a link for each of these, and which is
//! the same on every Linux: half of the time that it takes to configure the library.

use super::config::Target;

/// What POSIX, or both glibc and musl, have.
const ON_LINUX: &[&str] = &[
    "LWS_HAVE_ATOLL",
    "LWS_HAVE_CLOCK_GETTIME",
    "LWS_HAVE_CTIME_R",
    "LWS_HAVE_EVENTFD",
    "LWS_HAVE_EXECVPE",
    "LWS_HAVE_FORK",
    "LWS_HAVE_GETENV",
    "LWS_HAVE_GETGRGID_R",
    "LWS_HAVE_GETGRNAM_R",
    "LWS_HAVE_GETIFADDRS",
    "LWS_HAVE_GETLOADAVG",
    "LWS_HAVE_GETPWNAM_R",
    "LWS_HAVE_GETPWUID_R",
    "LWS_HAVE_GMTIME_R",
    "LWS_HAVE_INTTYPES_H",
    "LWS_HAVE_LOCALTIME_R",
    "LWS_HAVE_MALLOC",
    "LWS_HAVE_MALLOC_H",
    "LWS_HAVE_MEMORY_H",
    "LWS_HAVE_MEMSET",
    "LWS_HAVE_NETINET_IN_H",
    "LWS_HAVE_PTHREAD_H",
    "LWS_HAVE_REALLOC",
    "LWS_HAVE_SNPRINTF",
    "LWS_HAVE_SOCKET",
    "LWS_HAVE_STDINT_H",
    "LWS_HAVE_STDLIB_H",
    "LWS_HAVE_STRERROR",
    "LWS_HAVE_STRINGS_H",
    "LWS_HAVE_STRING_H",
    "LWS_HAVE_SYS_PRCTL_H",
    "LWS_HAVE_SYS_RESOURCE_H",
    "LWS_HAVE_SYS_SOCKET_H",
    "LWS_HAVE_SYS_STAT_H",
    "LWS_HAVE_SYS_TYPES_H",
    "LWS_HAVE_TIMEGM",
    "LWS_HAVE_UNISTD_H",
    "LWS_HAVE_VFORK",
    "STDC_HEADERS",
];

/// What other systems have.
const NOT_ON_LINUX: &[&str] = &[
    "LWS_HAVE_IN6ADDR_H",
    "LWS_HAVE_SYS_SOCKIO_H",
    "LWS_HAVE_VFORK_H",
    "LWS_HAVE__ATOI64",
    "LWS_HAVE__SNPRINTF",
    "LWS_HAVE__STAT32I64",
    "LWS_HAVE__VSNPRINTF",
];

/// What CMake needn't look for: names of its cache, and what it would find.
pub fn answers(target: &Target) -> impl Iterator<Item = (&'static str, &'static str)> {
    let known = target.os == "linux" && ["gnu", "musl"].contains(&target.env.as_str());
    let found = ON_LINUX.iter().map(|name| (*name, "1"));
    let missing = NOT_ON_LINUX.iter().map(|name| (*name, ""));
    found.chain(missing).filter(move |_| known)
}
