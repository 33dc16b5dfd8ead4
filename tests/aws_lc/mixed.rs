//! A program that holds OpenSSL, by the crate `openssl`, AWS-LC, by `aws-lc-sys` itself, and
//! this crate with its feature `aws-lc`: for that, AWS-LC has its libssl, whose functions the
//! linker takes for OpenSSL's.

use libwebsockets::Context;

fn main() {
    // Something of each that the linker can't leave out. With the functions mixed up, OpenSSL's
    // aren't to be called.
    std::hint::black_box(aws_lc_sys::EVP_sha256 as *const ());
    if std::env::args().count() > 1 {
        let method = openssl::ssl::SslMethod::tls();
        drop(openssl::ssl::SslConnector::builder(method));
    }
    match Context::builder().build() {
        Ok(_) => println!("no objection"),
        Err(error) => println!("{error}"),
    }
}
