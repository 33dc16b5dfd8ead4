//! Compiles the C echo server against the C library that the crate was built with.

fn main() {
    println!("cargo:rerun-if-changed=csrc/echo.c");
    let mut build = cc::Build::new();
    let include = std::env::var_os("DEP_WEBSOCKETS_INCLUDE");
    build.include(include.expect("libwebsockets tells where its headers are"));
    if let Some(openssl) = std::env::var_os("DEP_OPENSSL_INCLUDE") {
        build.include(openssl);
    }
    build.file("csrc/echo.c").opt_level(3).compile("echo");
}
