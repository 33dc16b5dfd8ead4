//! The C echo server, `csrc/echo.c`: its `main` is there.
#![no_main]

// Links the C library.
use libwebsockets as _;
// Links the server, which the build script gives to this crate's library.
use peers as _;
