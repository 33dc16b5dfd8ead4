//! What tests use of AWS-LC, by the names that the build has given it.

use super::sys::{SSL, SSL_CTX};
use std::ffi::{c_int, c_void};

pub enum Bio {}

extern "C" {
    #[link_name = "lwsawslc_SSL_new"]
    pub fn SSL_new(ctx: *mut SSL_CTX) -> *mut SSL;
    #[link_name = "lwsawslc_SSL_set_bio"]
    pub fn SSL_set_bio(ssl: *mut SSL, input: *mut Bio, output: *mut Bio);
    #[link_name = "lwsawslc_SSL_connect"]
    pub fn SSL_connect(ssl: *mut SSL) -> c_int;
    #[link_name = "lwsawslc_SSL_free"]
    pub fn SSL_free(ssl: *mut SSL);
    #[link_name = "lwsawslc_BIO_s_mem"]
    pub fn BIO_s_mem() -> *const c_void;
    #[link_name = "lwsawslc_BIO_new"]
    pub fn BIO_new(kind: *const c_void) -> *mut Bio;
    #[link_name = "lwsawslc_BIO_read"]
    pub fn BIO_read(bio: *mut Bio, data: *mut c_void, len: c_int) -> c_int;
    #[link_name = "lwsawslc_BIO_write"]
    pub fn BIO_write(bio: *mut Bio, data: *const c_void, len: c_int) -> c_int;
}
